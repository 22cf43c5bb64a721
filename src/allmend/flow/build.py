"""Building one artifact: get the lease, run the step's function on a draft, commit. Runs in a child process."""

from __future__ import annotations

import contextlib
import datetime
import functools
import importlib.metadata
import json
import os
import platform
import shutil
import socket
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allmend.flow.channel import Channel
from allmend.flow.engine import Engine, ProcessEngine
from allmend.flow.rooms import find_step
from allmend.flow.work import Work
from allmend.kinds import KINDS, RUN, Artifact, Config, InputFile, InputFiles, Step, canonical, sha256_file
from allmend.kinds.errors import DamagedError, InputChangedError, Interrupted, LeaseLostError, StepFailed
from allmend.kinds.outside import stamp
from allmend.ledger import Lease, Ledger, Manifest, Reference, Stored

POLL_S = 0.05
VERSIONS_OF = ("pyarrow", "duckdb", "numpy", "torch", "transformers", "tokenizers", "resiliparse", "fastwarc")


@dataclass
class Job:
    """One artifact to build: everything a child process needs."""

    label: str
    root: Path
    use: str
    config: Config
    inputs: dict[str, Reference | list[Reference]]
    key: str
    plan_key: str
    workers: int = 1
    ranks: int = 1
    device: str = "cpu"
    again: bool = False
    engine: Engine | None = None
    draft: Path | None = None
    state: Path | None = None

    def artifacts(self, ledger: Ledger) -> dict[str, Artifact | list[Artifact]]:
        def one(reference: Reference) -> Artifact:
            artifact = ledger.get(reference.key, reference.digest).artifact
            return artifact

        found: dict[str, Artifact | list[Artifact]] = {}
        for name, value in self.inputs.items():
            found[name] = [one(each) for each in value] if isinstance(value, list) else one(value)
            for artifact in found[name] if isinstance(found[name], list) else [found[name]]:  # type: ignore[union-attr]
                artifact.input_name = name  # type: ignore[union-attr]
        return found


@dataclass
class Built:
    """What came of a job."""

    key: str
    digest: str
    reused: bool
    seconds: float
    metrics: dict[str, Any] = field(default_factory=dict)


def build(job: Job, channel: Channel) -> Built:
    """Build one artifact, or wait for whoever builds it already and take that."""
    ledger = Ledger(job.root, create=False)
    step = find_step(job.use)
    started = time.monotonic()
    while True:
        lease = _lease_or_result(ledger, job, channel)
        if isinstance(lease, Built):
            return lease
        try:
            if not job.again and (found := ledger.digests(job.key)):
                return Built(job.key, found[0], True, 0.0)
            stored = _make(ledger, job, step, lease, channel)
            return Built(job.key, stored.manifest.digest, False, time.monotonic() - started, stored.manifest.metrics)
        except LeaseLostError as error:
            channel.tell("log", f"{job.label}: {error}")
        finally:
            lease.release()


def _lease_or_result(ledger: Ledger, job: Job, channel: Channel) -> Lease | Built:
    """The lease of the key; or, where another process was first, its result."""
    watcher = ledger.watch(job.key)
    said = False
    before = set(ledger.digests(job.key)) if job.again else set()
    while True:
        lease = watcher.acquire()
        if lease is not None:
            return lease
        if not said:
            channel.tell("log", f"{job.label}: another process builds this; waiting for its result")
            said = True
        if not job.again and (found := set(ledger.digests(job.key)) - before):
            return Built(job.key, min(found), True, 0.0)
        if channel.stopping.is_set():
            raise Interrupted("stopped while waiting for another process")
        time.sleep(POLL_S)


def _make(ledger: Ledger, job: Job, step: Step, lease: Lease, channel: Channel) -> Stored:
    """Run the function on a fresh draft and commit it."""
    draft, scratch = ledger.draft(), ledger.tmp / uuid.uuid4().hex
    state = ledger.state_of(lease)
    artifacts = job.artifacts(ledger)
    flat = [each for value in artifacts.values() for each in (value if isinstance(value, list) else [value])]
    work = Work(
        draft, scratch=scratch, state=state, key=job.key, use=job.use, step=step, config=job.config, inputs=flat, ledger=ledger,
        lease=lease, engine=job.engine or ProcessEngine(job.workers), channel=channel, workers=job.workers, device=job.device,
        earlier=earlier_builds(ledger, job),
    )  # fmt: skip
    clock, started = time.monotonic(), datetime.datetime.now(datetime.UTC)
    try:
        with _captured(work):
            if step.ranks and job.ranks > 1:
                from allmend.flow.ranks import run_ranks

                result = run_ranks(job, step, work, channel)
            else:
                result = step.function(job.config, **artifacts, **({"work": work} if step.takes_work else {}))
        _check_result(job, step, result, draft)
        _check_outside(job.config)
        _write_run(draft, job, time.monotonic() - clock, started)
        return _commit(ledger, job, step, result, work, lease)
    except BaseException:
        ledger.trash(draft)
        raise
    finally:
        ledger.trash(scratch)


def earlier_builds(ledger: Ledger, job: Job) -> list[Artifact]:
    """What the job's name meant before, newest first, as far as it is still here."""
    found = []
    for entry in ledger.names.versions(job.label):
        with contextlib.suppress(DamagedError):
            found.append(ledger.get(entry.key, entry.digest).artifact)
    return found


def _commit(ledger: Ledger, job: Job, step: Step, result: Artifact, work: Work, lease: Lease) -> Stored:
    placement = {"device": job.device, "world": job.ranks if step.ranks else 1, "machine": platform.machine()}
    reproducible = "tolerance" if step.ranks and job.ranks > 1 else step.reproducible
    manifest = Manifest(
        job.key, "", job.plan_key, job.use, step.version, step.kind.__name__, canonical(job.config), job.inputs, [], [],
        result.describe(), reproducible=reproducible, placement=placement, versions=_versions(),
    )  # fmt: skip
    stored = ledger.commit(work.folder, manifest, lease, work.known)
    shutil.rmtree(work.state, ignore_errors=True)
    return stored


def _check_result(job: Job, step: Step, result: Any, draft: Path) -> None:
    assert isinstance(result, step.kind), f"{job.use} returned {type(result).__name__} instead of {step.kind.__name__}"
    assert result.folder == draft, f"{job.use} returned an artifact outside work.folder"
    for path in draft.rglob("*"):
        if path.is_symlink():
            raise StepFailed(f"{job.use} made the symbolic link {path.name}; an artifact holds files only.")


def _check_outside(value: Any) -> None:
    """A file from outside that changed since it was hashed was perhaps read half old, half new."""
    if isinstance(value, InputFile):
        if value.seen and stamp(value.path.stat()) != value.seen and sha256_file(value.path) != value.sha256:
            raise InputChangedError(
                f"{value.name} changed while this step read it (it had the SHA-256 {value.sha256[:12]}…). Nothing was committed; run "
                "again when nobody writes to it."
            )
    elif isinstance(value, InputFiles | list | tuple):
        for each in value:
            _check_outside(each)
    elif isinstance(value, Config):
        for name in type(value).model_fields:
            _check_outside(getattr(value, name))
    elif isinstance(value, dict):
        for each in value.values():
            _check_outside(each)


def _write_run(draft: Path, job: Job, seconds: float, started: datetime.datetime) -> None:
    folder = draft / RUN
    folder.mkdir(exist_ok=True)
    facts = {
        "seconds": round(seconds, 3), "started_at": started.isoformat(timespec="seconds"), "host": socket.gethostname(),
        "workers": job.workers, "python": platform.python_version(),
    }  # fmt: skip
    (folder / "timings.json").write_text(json.dumps(facts) + "\n")


def _versions() -> dict[str, str]:
    """Versions of Allmend and of the libraries that this process has loaded."""
    return {name: _version(name) for name in ("allmend", *VERSIONS_OF) if name in sys.modules}


@functools.cache
def _version(name: str) -> str:
    return importlib.metadata.version(name)


@contextlib.contextmanager
def _captured(work: Work) -> Iterator[None]:
    """What the function prints goes to `_run/output.txt`, secrets blotted out. Only in child processes of ours."""
    if os.environ.get("ALLMEND_CHILD") != "1":
        yield
        return
    folder = work.folder / RUN
    folder.mkdir(exist_ok=True)
    path = folder / "output.txt"
    kept = [(number, os.dup(number)) for number in (1, 2)]
    with path.open("wb") as file:
        for number, _ in kept:
            os.dup2(file.fileno(), number)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)
    printed = path.read_text(errors="replace")
    path.write_text(work.without_secrets(printed)) if printed else path.unlink()


def build_member(ledger: Ledger, of: Reference, member: str, kind: str, key: str, plan_key: str) -> Built:
    """Commit one member folder of a set as an artifact of its own; its files are links, so this takes no space."""
    source = ledger.get(of.key, of.digest).folder / member
    draft = ledger.draft()
    for path in sorted(path for path in source.rglob("*") if path.is_file()):
        target = draft / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    manifest = Manifest(
        key, "", plan_key, "flow.member", 1, kind, {"member": member}, {"of": of}, [], [], KINDS[kind](draft).describe()
    )  # fmt: skip
    stored = ledger.commit(draft, manifest)
    return Built(key, stored.manifest.digest, False, 0.0, stored.manifest.metrics)
