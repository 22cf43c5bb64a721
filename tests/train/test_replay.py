"""The batch hashes in `metrics.parquet`, from `order.json` and shards, by code that imports nothing of `allmend.train`.

On another model: `python -m tests.train.test_replay MODEL SHARDS [PROBES]` (folders of artifacts).
"""

from __future__ import annotations

import json
import subprocess
import sys
from heapq import heappop, heappush
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from blake3 import blake3

from tests.train import reference

ROOT = Path(__file__).parents[2]


def streams_of(shards: Path) -> dict[str, list[int]]:
    """Domain → its documents' tokens by id, from the files alone."""
    dtype = np.dtype(json.loads((shards / "shards.json").read_text())["dtype"]).newbyteorder("<")
    rows = []
    for path in sorted((shards / "documents").iterdir()):
        tokens = np.fromfile(shards / "tokens" / f"{path.stem}.bin", dtype)
        for row in pq.read_table(path, partitioning=None).to_pylist():
            rows.append((row["domain"], row["id"], tokens[row["offset"] : row["offset"] + row["length"]].tolist()))
    found: dict[str, list[int]] = {}
    for domain, _, tokens in sorted(rows, key=lambda row: row[:2]):
        found.setdefault(domain, []).extend(tokens)
    return found


def planted(probes: Path, size: int) -> list[int]:
    """The domain `probes`: copies packed whole, best fit decreasing."""
    copies = []
    for row in pq.read_table(probes / "probes.parquet").to_pylist():
        for number in range(row["repeats"]):
            name = blake3(f"{row['id']}\0{number}".encode()).hexdigest(length=16)
            copies.append((-len(row["tokens"]), name, row["tokens"]))
    windows: list[list[int]] = []
    room: list[tuple[int, int]] = []
    for _, _, tokens in sorted(copies):
        skipped = []
        while room and room[0][0] < len(tokens):
            skipped.append(heappop(room))
        _, window = heappop(room) if room else (size, len(windows))
        if window == len(windows):
            windows.append([])
        windows[window] += tokens
        for each in [*skipped, (size - len(windows[window]), window)]:
            heappush(room, each)
    return [token for window in windows for token in [*window, *[reference.PAD] * (size - len(window))]]


def replay(model: Path, shards: Path, probes: Path | None = None) -> int:
    """Compare every row of a model's metrics with its order and shards; gives the number of rows."""
    order = json.loads((model / "order.json").read_text())
    streams = {}
    for number, stage in enumerate(order["stages"]):
        found = streams_of(shards)
        if probes is not None:
            found["probes"] = planted(probes, stage["S"])
        for domain in stage["domains"]:
            assert len(found[domain["name"]]) == domain["tokens"], domain
            streams[number, domain["name"]] = found[domain["name"]]
    rows = pq.read_table(model / "metrics.parquet", columns=["step", "batch_hash", "chain"]).to_pylist()
    expected = list(reference.batch_hashes(order, streams))
    assert [(row["step"], row["batch_hash"], row["chain"]) for row in rows] == expected
    return len(rows)


def test_every_batch_hash_is_recomputed_by_code_that_knows_nothing_of_train(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch")
    from tests.train import making
    from tests.train.conftest import SHARES, Bench

    library = making.library({"de": 40, "fr": 24, "sw": 16}, longest=70)
    library.sorted()[5].withdrawn = True
    bench = Bench(
        tmp_path, library, library.shards(tmp_path / "shards"), making.mixture(tmp_path / "mixture", SHARES),
        making.probes(tmp_path / "probes", [0, 1, 4, 9], length=7),
    )  # fmt: skip
    model = bench.train()
    assert replay(model.folder, bench.shards.folder, tmp_path / "probes") == 32
    rows = pq.read_table(model.path("metrics.parquet")).to_pylist()
    rows[7]["batch_hash"] = "0" * 64
    import pyarrow as pa

    pq.write_table(pa.Table.from_pylist(rows), model.path("metrics.parquet"))
    with pytest.raises(AssertionError):
        replay(model.folder, bench.shards.folder, tmp_path / "probes")


def test_this_file_imports_nothing_of_train() -> None:
    code = "import sys, tests.train.test_replay; print([name for name in sys.modules if name.startswith('allmend')])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


if __name__ == "__main__":
    print(f"{replay(*map(Path, sys.argv[1:])):,} batch hashes agree")
