"""A ledger and a way to put small artifacts into it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from allmend.kinds import Artifact
from allmend.ledger import Ledger, Manifest, Reference, Stored, build_key, digests_of


class Toy(Artifact):
    """Any files."""


def unnamed(
    ledger: Ledger,
    files: Mapping[str, bytes],
    inputs: Mapping[str, Stored | list[Stored]] | None = None,
    run: bytes = b'{"seconds": 1}',
    reproducible: str = "bits",
    **config: Any,
) -> Stored:
    """Commit an artifact; its key follows from `config` and the inputs."""
    draft = ledger.draft()
    for path, data in {**files, "_run/timings.json": run}.items():
        (draft / path).parent.mkdir(parents=True, exist_ok=True)
        (draft / path).write_bytes(data)

    def cite(one: Stored) -> Reference:
        return Reference(one.manifest.kind, one.manifest.key, one.manifest.digest)

    cited = {
        name: [cite(each) for each in one] if isinstance(one, list) else cite(one)
        for name, one in (inputs or {}).items()
    }
    key = build_key("toy.make", 1, config, digests_of(cited))
    manifest = Manifest(key, "", key, "toy.make", 1, "Toy", config, cited, [], [], {}, reproducible=reproducible)
    return ledger.commit(draft, manifest)


def put(ledger: Ledger, name: str, files: Mapping[str, bytes], inputs: Any = None, **more: Any) -> Stored:
    """Commit an artifact and give it a name."""
    stored = unnamed(ledger, files, inputs, **more)
    manifest = stored.manifest
    ledger.names.put(
        name, manifest.key, manifest.digest, ledger.manifest_hash(manifest.key, manifest.digest), manifest.plan_key
    )
    return stored


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


@pytest.fixture
def chain(ledger: Ledger) -> list[Stored]:
    """Three artifacts, each made from the one before: toy/a → toy/b → toy/c."""
    a = put(ledger, "toy/a", {"x.txt": b"first", "deep/y.txt": b"shared"}, n=1)
    b = put(ledger, "toy/b", {"x.txt": b"second", "y.txt": b"shared"}, {"of": a}, n=2)
    return [a, b, put(ledger, "toy/c", {"z.txt": b"third"}, {"of": [a, b]}, n=3)]


def overwrite(path: Path, data: bytes) -> None:
    """Change a read-only file's bytes in place, as a failing disk would: every link sees it."""
    path.chmod(0o644)
    path.write_bytes(data)


def flip(path: Path, at: int = 0) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    overwrite(path, bytes(data))
