"""The `Work` that steps get: folders, workers, parts under their own keys, SQL, progress."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from allmend.flow.channel import Channel
from allmend.flow.engine import Engine, ProcessEngine
from allmend.flow.parts import CutTask, PartTask, run_cut, run_part
from allmend.kinds import (
    RUN,
    WRITER,
    Artifact,
    Config,
    Step,
    View,
    canonical,
    part_names,
    sha256_file,
    sha256_json,
    write_table,
)
from allmend.kinds.errors import StepFailed, UsageError
from allmend.kinds.work import Bar, Mappable
from allmend.ledger import Entry, Lease, Ledger, link

LOG_EVERY_S = 0.1


class Work:
    """See `allmend.kinds.Work` for what a step may ask of it.

    Args:
        folder: the draft that becomes the artifact.
        step: what runs, with its name, config and inputs, for part keys; None for `alone`.
        ledger: where finished parts are kept; None keeps none.
    """

    def __init__(
        self,
        folder: Path,
        *,
        scratch: Path,
        state: Path,
        key: str = "",
        use: str = "",
        step: Step | None = None,
        config: Config | None = None,
        inputs: Sequence[Artifact] = (),
        ledger: Ledger | None = None,
        lease: Lease | None = None,
        engine: Engine | None = None,
        channel: Channel | None = None,
        device: str = "cpu",
        rank: int = 0,
        world: int = 1,
        workers: int = 1,
        earlier: Sequence[Artifact] = (),
    ) -> None:
        self.folder, self.state, self._scratch = folder, state, scratch
        self.workers, self.device, self.rank, self.world = workers, device, rank, world
        self.known: dict[str, Entry] = {}
        self.rows: dict[str, int] = {}
        self.secrets: list[str] = []
        self._key, self._use, self._step, self._config = key, use, step, config
        self._inputs, self._ledger, self._lease = list(inputs), ledger, lease
        self.earlier = list(earlier)
        self._engine = engine or ProcessEngine(workers)
        self._channel = channel or Channel()
        self._maps = 0

    @classmethod
    def alone(
        cls,
        folder: Path,
        step: Step | None = None,
        config: Config | None = None,
        inputs: Sequence[Artifact] = (),
        workers: int = 1,
    ) -> Work:
        """A `Work` for one step in a test or a notebook: no ledger, no reuse; files are written into `folder`.

        `work.map` needs to know what step it serves: give `step` and `config`, or use `run_alone`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        aside = folder.parent / f".{folder.name}.work"
        (aside / "state").mkdir(parents=True, exist_ok=True)
        return cls(
            folder, scratch=aside / "scratch", state=aside / "state", step=step, config=config, inputs=inputs, workers=workers
        )  # fmt: skip

    # --- small things ---

    @cached_property
    def scratch(self) -> Path:
        self._scratch.mkdir(parents=True, exist_ok=True)  # most steps need none
        return self._scratch

    @property
    def stop(self) -> bool:
        return self._channel.stopping.is_set()

    def rng(self, name: str) -> np.random.Generator:
        digest = hashlib.sha256(f"{self._key}\0{name}".encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:16], "big"))

    def log(self, sentence: str) -> None:
        sentence = self.without_secrets(sentence)
        folder = self.folder / RUN
        folder.mkdir(exist_ok=True)
        with (folder / "log.txt").open("a") as file:
            file.write(sentence + "\n")
        self._channel.tell("log", sentence)

    def beat(self, step: int, phase: str) -> None:
        self._channel.tell("beat", self.rank, step, phase)

    @contextlib.contextmanager
    def progress(self, label: str, total: int, unit: str) -> Iterator[Bar]:
        bar = _Bar(self._channel, label, total, unit)
        bar.show()
        yield bar
        bar.show()

    def secret(self, name: str) -> str:
        value = os.environ.get(name)
        if not value:
            raise UsageError(f"the secret {name} isn't set. Put it into the environment: export {name}=…")
        self.secrets.append(value)
        return value

    def without_secrets(self, text: str) -> str:
        """A text with every secret that this step has asked for blotted out."""
        for value in self.secrets:
            text = text.replace(value, "‹secret›")
        return text

    # --- map ---

    def map(
        self,
        function: Callable[..., Any],
        over: Sequence[Mappable],
        whole: Sequence[Mappable] = (),
        *,
        own: Mapping[str, Any] | None = None,
        cut: int = 0,
        counted: int = 1,
    ) -> Any:
        assert self._step is not None and self._config is not None, "work.map needs the step that it serves"
        self._check_named(over, whole)
        views = [each if isinstance(each, View) else each.view(each.main) for each in over]
        parts = views[0].parts()
        for view in views[1:]:
            if view.parts() != parts:
                raise StepFailed(
                    f"{self._use}: its inputs are cut into different parts ({len(parts)} and {len(view.parts())}): all must stem from "
                    "one cut. Build them with the same `parts:`."
                )
        target = self.scratch / f"map{self._maps}" if cut else self.folder
        tasks, records = [], {}
        for part in parts:
            own_part = (own or {}).get(part)
            key = self._part_key(part, views, whole, own_part)
            if self._ledger and (found := self._ledger.find_part(key)):
                records[part] = found
                self._keep_record(key, found)
                self._link_part(found, target)
                continue
            given = own_part, own is not None
            tasks.append(PartTask(function, self._config, part, views, list(whole), *given, target, counted, key))
        with self.progress(function.__name__.removesuffix("_part").strip("_"), len(parts), "parts") as bar:
            bar.advance(len(records))
            for task, record in self._engine.map(run_part, tasks, self._channel):
                records[task.part] = record
                self._finish_part(task, record)
                bar.advance()
        self._maps += 1
        if cut:
            self._cut(target, parts, cut)
        else:
            for part in parts:
                for name, count in records[part]["rows"].items():
                    self.rows[name] = self.rows.get(name, 0) + count
        return self._step.kind(self.folder)

    def _check_named(self, over: Sequence[Mappable], whole: Sequence[Mappable]) -> None:
        """Every artifact input must be in `over` or `whole` (or named in `apart=`): one captured otherwise would leave stale parts."""
        named = {(each.artifact if isinstance(each, View) else each).folder for each in [*over, *whole]}
        apart = self._step.apart if self._step else ()
        for artifact in self._inputs:
            name = getattr(artifact, "input_name", "")
            assert artifact.folder in named or name in apart, (
                f"{self._use}: the input {artifact} is in neither `over` nor `whole`"
            )

    def _part_key(self, part: str, views: Sequence[View], whole: Sequence[Mappable], own: Any) -> str:
        assert self._step is not None and self._config is not None
        files = [_digest(view.artifact, view.path(part)) for view in views]
        fixed = [_digest_whole(each) for each in whole]
        config = canonical(self._config, leave_out=self._step.apart)
        return sha256_json({
            "writer": WRITER, "step": self._use, "version": self._step.version, "config": config, "map": self._maps,
            "part": part, "files": files, "whole": fixed, "own": own,
        })  # fmt: skip

    def _finish_part(self, task: PartTask, record: dict[str, Any]) -> None:
        """Keep what a part wrote, so that it is never done again."""
        if self._lease is not None:
            self._lease.check()
        if self._ledger is None:
            return
        entries = [Entry(*each) for each in record["files"]]
        for entry in entries:
            self._ledger.keep(task.out / entry.path, entry)
        self._keep_record(task.key, record)
        self._know(task.out, entries)

    def _keep_record(self, key: str, record: dict[str, Any]) -> None:
        """Record a part with the build that uses it: `gc` keeps the parts of kept builds, though a cut hides their files."""
        if self._ledger is not None and record.get("build") != self._key:
            self._ledger.put_part(key, {**record, "build": self._key})

    def _link_part(self, record: dict[str, Any], target: Path) -> None:
        """Take a part that was finished before."""
        assert self._ledger is not None
        entries = [Entry(*each) for each in record["files"]]
        for entry in entries:
            path = target / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            link(self._ledger.files / entry.sha256, path)
        self._know(target, entries)

    def _know(self, target: Path, entries: Sequence[Entry]) -> None:
        if target == self.folder:  # what a cut works on isn't content
            self.known.update((entry.path, entry) for entry in entries)

    def _cut(self, source: Path, parts: Sequence[str], count: int) -> None:
        """Cut what the parts returned anew by document id; see `kinds.Work.map`."""
        assert self._step is not None
        names = part_names(count)
        tasks = [
            CutTask(source, list(parts), name, index, count, self.folder, self._step.kind)
            for index, name in enumerate(names)
        ]
        with self.progress("cut by document id", count, "parts") as bar:
            for _, rows in self._engine.map(run_cut, tasks, self._channel):
                for name, number in rows.items():
                    self.rows[name] = self.rows.get(name, 0) + number
                bar.advance()

    # --- sql ---

    def sql(self, query: str, tables: Mapping[str, Mappable | Sequence[Path] | pa.Table], into: str = "") -> pa.Table:
        found: dict[str, Sequence[Path] | pa.Table] = {}
        for name, table in tables.items():
            if isinstance(table, Artifact):
                found[name] = table.paths()
            elif isinstance(table, View):
                found[name] = [table.path(part) for part in table.parts()]
            else:
                found[name] = table
        reader = self._engine.sql(query, found, self.scratch)
        if not into:
            return reader.read_all()
        self.rows[into] = write_table(self.folder / f"{into}.parquet", reader, reader.schema)
        return reader.schema.empty_table()


def _digest(artifact: Artifact, path: Path) -> str:
    """SHA-256 of an input file: from the artifact's manifest, or computed where there is none."""
    name = path.relative_to(artifact.folder).as_posix()
    return artifact.digests[name] if artifact.digests and name in artifact.digests else sha256_file(path)


def _digest_whole(each: Mappable) -> list[list[str]]:
    if isinstance(each, View):
        return [[part, _digest(each.artifact, each.path(part))] for part in each.parts()]
    return [[name, _digest(each, each.folder / name)] for name in each.files()]


class _Bar:
    """Progress of one step, told to the watcher at most ten times a second."""

    def __init__(self, channel: Channel, label: str, total: int, unit: str) -> None:
        self.channel, self.label, self.total, self.unit = channel, label, total, unit
        self.done = 0
        self.shown = 0.0

    def advance(self, count: int = 1) -> None:
        self.done += count
        if time.monotonic() - self.shown > LOG_EVERY_S:
            self.show()

    def show(self) -> None:
        self.shown = time.monotonic()
        self.channel.tell("progress", self.label, self.done, self.total, self.unit)


def run_alone(step: Step, folder: Path, config: Config, *, workers: int = 1, **inputs: Any) -> Any:
    """Run one step in a test or notebook, without recipe and ledger; gives its artifact in `folder`."""
    artifacts = [
        each
        for value in inputs.values()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]
    work = Work.alone(folder, step, config, artifacts, workers)
    return step.function(config, **inputs, **({"work": work} if step.takes_work else {}))
