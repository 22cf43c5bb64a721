"""What the loader reads, against streams put together by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from allmend.kinds import BOD, EOD, PAD, WITHDRAWN
from allmend.kinds.errors import DamagedError, StepFailed, UsageError
from allmend.model import IGNORED, labels_of, segments_of
from allmend.train import Order
from allmend.train.bins import pack
from allmend.train.config import Goldfish
from allmend.train.loader import Loader, batch_hash, chain_over
from allmend.train.objective import Objective
from allmend.train.streams import open_streams
from tests.train import making, reference

DOMAINS = {"de": 12, "fr": 7, "sw": 3}


def loader_of(shards: object, context: int = 16, steps: int = 20, batch: int = 4, look_back: int = 0) -> Loader:
    streams = open_streams(shards)  # type: ignore[arg-type]
    shares = dict.fromkeys(streams.tokens, 1.0)
    order = Order(7).with_stage(shares, streams.tokens, context=context, batches=[(steps, batch)])
    return Loader(order, [streams], look_back)


@pytest.mark.parametrize("parts", [1, 4, 16])
def test_case_05_changed_parts_are_the_same_order(tmp_path: Path, parts: int) -> None:
    library = making.library(DOMAINS)
    loader = loader_of(library.shards(tmp_path / "shards", parts))
    record = loader.order.as_json()
    streams = {(0, domain): library.stream(domain) for domain in library.domains}
    expected = [(batch, chain) for _, batch, chain in reference.batch_hashes(record, streams)]
    assert [batch_hash(loader.batch(step).hashes).hex() for step in range(20)] == [batch for batch, _ in expected]
    assert chain_over(loader, 20).hex() == expected[-1][1]


@pytest.mark.parametrize("context", [5, 16, 100])
def test_inputs_labels_segments_and_positions_are_those_of_the_rules(tmp_path: Path, context: int) -> None:
    library = making.library(DOMAINS)
    for each in library.sorted()[::5]:
        each.withdrawn = True
    loader = loader_of(library.shards(tmp_path / "shards"), context)
    for step in range(loader.order.step_count):
        batch = loader.batch(step)
        for row in range(4):
            domain = batch.samples.stage.domains[batch.samples.domain[row]].name
            tokens = reference.window_tokens(library.stream(domain), context, int(batch.samples.window[row]))
            segments, positions = reference.segments(tokens[:-1])
            assert batch.inputs[row].tolist() == tokens[:-1]
            assert batch.labels[row].tolist() == [
                IGNORED if each is None else each for each in reference.labels(tokens)
            ]
            assert batch.positions[row].tolist() == positions
            assert np.unique(batch.segments[row], return_inverse=True)[1].tolist() == segments


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([PAD, BOD, EOD, WITHDRAWN, 13, 14]), min_size=2, max_size=20))
def test_case_07_withdrawn_is_never_a_label_and_any_tokens_follow_the_rules(tokens: list[int]) -> None:
    window = np.array([tokens], np.uint16)
    labels = [IGNORED if each is None else each for each in reference.labels(tokens)]
    assert labels_of(window)[0].tolist() == labels and not {PAD, BOD, WITHDRAWN} & set(labels)
    segments, positions = segments_of(window)
    assert (np.unique(segments[0], return_inverse=True)[1].tolist(), positions[0].tolist()) == reference.segments(
        tokens
    )


def test_case_13_u16_and_u32_give_the_same_hashes(tmp_path: Path) -> None:
    library = making.library(DOMAINS)
    narrow, wide = (loader_of(library.shards(tmp_path / dtype, dtype=dtype)) for dtype in ("uint16", "uint32"))
    assert [narrow.batch(step).hashes for step in range(20)] == [wide.batch(step).hashes for step in range(20)]


def test_case_13_a_file_shorter_than_the_table_is_named(tmp_path: Path) -> None:
    shards = making.library(DOMAINS).shards(tmp_path / "shards", 2)
    path = shards.part_path("1", "tokens")
    whole = path.read_bytes()
    path.write_bytes(whole[:-2])
    with pytest.raises(DamagedError, match=r"tokens/1\.bin .* bytes"):
        open_streams(shards)
    path.write_bytes(whole)
    loader = loader_of(shards, 16, 40)
    path.write_bytes(b"")  # cut while it is open
    with pytest.raises(DamagedError, match=r"tokens/1\.bin .* bytes"):
        for step in range(40):
            loader.batch(step)


def test_case_13_a_missing_part_is_named(tmp_path: Path) -> None:
    shards = making.library(DOMAINS).shards(tmp_path / "shards", 2)
    shards.part_path("0", "tokens").unlink()
    with pytest.raises(DamagedError, match=r"0\.bin"):
        open_streams(shards)


def test_documents_that_do_not_lie_by_domain_are_an_error(tmp_path: Path) -> None:
    from allmend.kinds import read_table, write_table

    shards = making.library(DOMAINS).shards(tmp_path / "shards", 1)
    table = read_table(shards.part_path("0"))
    write_table(shards.part_path("0"), table.take([0, 2, 1, *range(3, table.num_rows)]))
    with pytest.raises(DamagedError, match="row 1"):
        open_streams(shards)


def test_case_13_any_step_is_ready_at_once_and_beyond_the_end_is_an_error(tmp_path: Path) -> None:
    shards = making.library(DOMAINS).shards(tmp_path / "shards")
    through = loader_of(shards)
    hashes = [through.batch(step).hashes for step in range(20)]
    for step in (19, 0, 7):
        assert loader_of(shards).batch(step).hashes == hashes[step]
    with pytest.raises(UsageError, match="0 to 19"):
        through.batch(20)


def test_case_13_prefetch_past_the_end_is_nothing(tmp_path: Path) -> None:
    loader = loader_of(making.library(DOMAINS).shards(tmp_path / "shards"))
    for step in range(25):
        loader.prefetch(step)


def test_case_10_any_micro_batch_reads_the_same_samples(tmp_path: Path) -> None:
    loader = loader_of(making.library(DOMAINS).shards(tmp_path / "shards"), batch=6)
    whole = loader.batch(3)
    for micro in (1, 2, 3):
        parts = [loader.batch(3, first, micro) for first in range(0, 6, micro)]
        assert [each for part in parts for each in part.hashes] == whole.hashes
        assert np.concatenate([part.labels for part in parts]).tolist() == whole.labels.tolist()


@pytest.mark.parametrize("parts", [1, 16])
def test_case_12_the_robust_goldfish_mask_is_the_documents_own(tmp_path: Path, parts: int) -> None:
    library = making.library({"de": 40}, longest=90)
    goldfish = Objective(Goldfish(k=3, h=8), np.arange(library.vocab))
    dropped: dict[int, set[int]] = {}
    for context in (16, 37, 256, 4096):
        streams = open_streams(library.shards(tmp_path / f"{context}", parts))
        steps = -(-streams.tokens["de"] // context)
        order = Order(7).with_stage({"de": 1}, streams.tokens, context=context, batches=[(steps, 1)])
        loader = Loader(order, [streams], goldfish.look_back)
        dropped[context] = set()
        for step in range(steps):
            batch = loader.batch(step)
            places = np.flatnonzero((batch.labels >= 0) & (goldfish.labels(batch) < 0))
            dropped[context] |= {
                int(batch.samples.window[0]) * context + int(place) for place in places if 0 <= place < context
            }
    assert dropped[16] == dropped[37] == dropped[256] == dropped[4096]
    labels = sum(len(each.tokens) - 1 for each in library.sorted())
    assert 0.15 < len(dropped[16]) / labels < 0.4  # of 1/3, less the first h - 1 of each document


def test_case_12_repeated_passages_lose_the_same_labels_in_any_packing(tmp_path: Path) -> None:
    words = np.random.default_rng(3).integers(13, 64, 80).tolist()
    library = making.library({"de": 5}, longest=50)
    copies = [library.add("de", words, f"copy {number}") for number in range(4)]
    goldfish = Objective(Goldfish(k=4, h=6), np.arange(64))
    streams = open_streams(library.shards(tmp_path / "shards"))
    steps = -(-streams.tokens["de"] // 32)
    loader = Loader(
        Order(1).with_stage({"de": 1}, streams.tokens, context=32, batches=[(steps, 1)]), [streams], goldfish.look_back
    )
    lost = np.zeros(steps * 32 + 1, bool)
    for step in range(steps):
        batch = loader.batch(step)
        first = int(batch.samples.window[0]) * 32
        lost[first + 1 : first + 33] |= ((batch.labels >= 0) & (goldfish.labels(batch) < 0))[0]
    starts = {
        each.id: sum(len(other.tokens) for other in library.sorted() if other.id < each.id) for each in library.sorted()
    }
    masks = [lost[starts[copy] : starts[copy] + 82].tolist() for copy in copies]
    assert masks[0] == masks[1] == masks[2] == masks[3] and any(masks[0])


def test_probes_are_packed_whole_in_windows_and_every_copy_once(tmp_path: Path) -> None:
    probes = making.probes(tmp_path / "probes", [0, 1, 3, 5], length=12)
    bins = pack(probes, 32)
    assert bins.tokens.shape == (5, 32)  # 9 copies, two a window
    rows = making.read_probes(probes)
    assert sorted(copy.probe for copy in bins.copies) == sorted(
        name for name in rows for _ in range(rows[name]["repeats"])
    )
    for copy in bins.copies:
        assert bins.tokens[copy.window, copy.start : copy.start + 12].tolist() == rows[copy.probe]["tokens"]
    assert np.count_nonzero(bins.tokens != PAD) == 9 * 12
    with pytest.raises(StepFailed, match="12 tokens and doesn't fit into a context of 8"):
        pack(probes, 8)


def test_long_copies_come_first_and_short_ones_fill_the_fullest_window(tmp_path: Path) -> None:
    import pyarrow as pa

    from allmend.kinds import Probes, write_table

    rows = [
        {"id": name, "repeats": 1, "tokens": [BOD, *[13] * (size - 2), EOD]}
        for name, size in (("a", 5), ("b", 9), ("c", 3), ("d", 6))
    ]
    schema = pa.schema([("id", pa.string()), ("repeats", pa.int32()), ("tokens", pa.list_(pa.int32()))])
    write_table(tmp_path / "probes.parquet", pa.Table.from_pylist(rows, schema))
    placed = [(copy.probe, copy.window, copy.start) for copy in pack(Probes(tmp_path), 12).copies]
    assert placed == [("b", 0, 0), ("c", 0, 9), ("d", 1, 0), ("a", 1, 6)]
