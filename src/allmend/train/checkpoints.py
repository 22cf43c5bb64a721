"""Checkpoint n = the state after n steps: weights, optimiser, chain, metrics. Whole or not at all; no pickle.

A folder `<n>/` with `model.safetensors`, `optimizer.safetensors`, `metrics.parquet` and `state.json`, which holds the
SHA-256 of the others.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from allmend.kinds import canonical_json, read_table, sha256_file, sha256_json, write_table
from allmend.kinds.errors import DamagedError

FORMAT = 1
METRICS = pa.schema([
    ("step", pa.int64()), ("samples", pa.int64()), ("tokens", pa.int64()), ("loss", pa.float64()), ("lr", pa.float64()),
    ("grad_norm", pa.float64()), ("batch_hash", pa.string()), ("chain", pa.string()),
])  # fmt: skip
"""One row a fed step: `samples` and `tokens` (inputs) read up to and including it, `loss` in nats a label."""


@dataclass
class Progress:
    """What a run has behind it, weights and optimiser aside.

    Attributes:
        steps: steps done; the state is that after so many.
        chain: running hash of the batches fed.
        rows: metrics of each fed step.
        nats, labels: domain → sums over the steps whose losses `domains.parquet` shows.
    """

    steps: int = 0
    chain: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    nats: dict[str, float] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """One on disk, its head read.

    Attributes:
        past: digest of all that decided the state besides the batches: config up to here, version, libraries.
        sums: how gradients were summed: number of ranks, 1 if their bits are those of one process.
    """

    folder: Path
    steps: int
    chain: str
    past: str
    sums: int
    files: Mapping[str, str]
    nats: Mapping[str, float]
    labels: Mapping[str, int]

    def check(self) -> None:
        """Raise DamagedError unless every file is whole."""
        for name, wanted in self.files.items():
            path = self.folder / name
            if not path.is_file() or sha256_file(path) != wanted:
                raise DamagedError(f"checkpoint {self.steps}: {name} is damaged or cut short")

    def progress(self) -> Progress:
        rows = read_table(self.folder / "metrics.parquet").to_pylist()
        return Progress(self.steps, self.chain, rows, dict(self.nats), dict(self.labels))


def listed(folder: Path, say: Callable[[str], None]) -> list[Checkpoint]:
    """Checkpoints by their heads, newest first; one that can't be read is left out, aloud. Call `check` before use."""
    found = []
    names = [path.name for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    for name in sorted(names, key=int, reverse=True):
        try:
            found.append(read(folder / name))
        except DamagedError as error:
            say(f"{error}; it is not used")
    return found


def read(folder: Path) -> Checkpoint:
    """The head of a checkpoint.

    Raises:
        DamagedError: it can't be read, or has another format.
    """
    try:
        head = json.loads((folder / "state.json").read_bytes())
        seal = head.pop("seal")
        assert seal == sha256_json(head) and head.pop("format") == FORMAT and head["steps"] == int(folder.name)
        return Checkpoint(folder, **head)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise DamagedError(f"checkpoint {folder.name}: state.json can't be read") from error


def write(folder: Path, model: Any, optimizer: Any, progress: Progress, past: str, sums: int) -> Checkpoint:
    """Save the state as `folder/<steps>/`: written aside, synced, renamed."""
    from safetensors.torch import save_file

    draft = folder / f"draft-{progress.steps}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    save_file(weights_of(model), draft / "model.safetensors")
    save_file(moments_of(model, optimizer), draft / "optimizer.safetensors")
    write_table(draft / "metrics.parquet", pa.Table.from_pylist(progress.rows, METRICS))
    files = {
        name: sha256_file(draft / name) for name in ("metrics.parquet", "model.safetensors", "optimizer.safetensors")
    }
    parts = {name: value for name, value in asdict(progress).items() if name != "rows"}
    head = {"format": FORMAT, **parts, "past": past, "sums": sums, "files": files}
    (draft / "state.json").write_bytes(canonical_json({**head, "seal": sha256_json(head)}))
    for path in [*draft.iterdir(), draft]:
        _sync(path)
    target = folder / str(progress.steps)
    shutil.rmtree(target, ignore_errors=True)  # a damaged one of the same number
    draft.rename(target)
    _sync(folder)
    return read(target)


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def weights_of(model: Any) -> dict[str, Any]:
    """Name → parameter; a tied one once."""
    return {name: parameter.detach().cpu().contiguous() for name, parameter in model.named_parameters()}


def moments_of(model: Any, optimizer: Any) -> dict[str, Any]:
    """`<parameter>.<moment>` → the optimiser's tensors; empty before its first step."""
    found = {}
    for name, parameter in model.named_parameters():
        for moment, value in sorted(optimizer.state.get(parameter, {}).items()):
            found[f"{name}.{moment}"] = value.detach().cpu().contiguous()
    return found


def load(checkpoint: Checkpoint, model: Any, optimizer: Any) -> None:
    """Put a checkpoint's weights and moments into a model and its optimiser."""
    import torch
    from safetensors.torch import load_file

    weights, moments = (load_file(checkpoint.folder / f"{name}.safetensors") for name in ("model", "optimizer"))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(weights.pop(name))
            own = {key.rpartition(".")[2]: key for key in moments if key.rpartition(".")[0] == name}
            if own:
                optimizer.state[parameter] = {
                    moment: moments.pop(key).to(parameter.device if moment != "step" else "cpu")
                    for moment, key in own.items()
                }
    assert not weights and not moments, (
        f"checkpoint {checkpoint.steps}: {sorted([*weights, *moments])} belong to no parameter"
    )


def prune(folder: Path, keep: Sequence[int], last: int) -> None:
    """Remove all but the newest `last` checkpoints and those at the steps to keep, and drafts of attempts that died."""
    numbers = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())
    for number in numbers[:-last]:
        if number not in keep:
            shutil.rmtree(folder / str(number), ignore_errors=True)
    for path in folder.glob("draft-*"):
        shutil.rmtree(path, ignore_errors=True)


def link(source: Path, target: Path) -> None:
    """A checkpoint at a second place, without copying where the file system allows."""
    draft = target.parent / f"draft-{target.name}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        try:
            os.link(path, draft / path.name)
        except OSError:
            shutil.copyfile(path, draft / path.name)
    with suppress(OSError):  # another rank was first
        draft.rename(target)
