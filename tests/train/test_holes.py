"""Withdrawn documents: what stays as it was, which checkpoints a new run may start from. Groups 6, 7."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from allmend.kinds import WITHDRAWN, read_table
from allmend.kinds.corpus import part_of
from allmend.model import IGNORED
from allmend.train import Order, Record
from allmend.train.loader import Loader
from allmend.train.streams import open_streams
from tests.train import making
from tests.train.conftest import SHARES, Bench, config_of, files_of

pytest.importorskip("torch", reason="torch")

Holes = Callable[[Sequence[str]], Bench]
CONTEXT = 16


def first_steps(bench: Bench, model: object) -> dict[str, int]:
    """Document → the first step that read it."""
    record = Record.of_model(model, bench.shards, None)  # type: ignore[arg-type]
    return {document: step for document, (_, step) in record.first_seen(list(bench.library.documents)).items()}


# --- hashes ---


@pytest.mark.parametrize("parts", [1, 8])
def test_case_06_a_hole_changes_the_samples_that_read_it_and_no_other(tmp_path: Path, parts: int) -> None:
    library = making.library({"de": 24}, longest=50)
    library.add("de", [13] * 14, "one window exactly")
    before = open_streams(library.shards(tmp_path / "before", parts))
    windows = -(-before.tokens["de"] // CONTEXT)
    order = Order(5).with_stage({"de": 1}, before.tokens, context=CONTEXT, batches=[(windows, 1)], shards="a")
    hashes = [Loader(order, [before]).batch(step).hashes[0] for step in range(windows)]
    record = Record(order, {"a": library.shards(tmp_path / "again", parts)})
    on_edges = 0
    for each in library.sorted():
        each.withdrawn = True
        loader = Loader(order, [open_streams(library.shards(tmp_path / each.id, parts))])
        changed = [step for step in range(windows) if loader.batch(step).hashes[0] != hashes[step]]
        seen = record.seen(each.id)
        assert seen is not None and changed == [part.step for part in seen]
        on_edges += min(part.window * CONTEXT for part in seen) == library.stream("de").index(WITHDRAWN)
        each.withdrawn = False
    assert on_edges >= 1  # a hole that starts on a window's edge leaves the window before it as it was


def test_case_06_streams_keep_their_length_and_place(tmp_path: Path) -> None:
    library = making.library({"de": 24, "fr": 9})
    before = open_streams(library.shards(tmp_path / "before"))
    for each in library.sorted()[::2]:
        each.withdrawn = True
    assert open_streams(library.shards(tmp_path / "after")).tokens == before.tokens


def test_case_06_over_two_stages_a_hole_is_seen_in_both(tmp_path: Path) -> None:
    library = making.library({"de": 30}, longest=40)
    one = library.sorted()[7]
    hashes = []
    for one.withdrawn in (False, True):
        streams = open_streams(library.shards(tmp_path / str(one.withdrawn)))
        order = Order(5)
        for context in (16, 32):
            steps = -(-streams.tokens["de"] // context)
            order = order.with_stage({"de": 1}, streams.tokens, context=context, batches=[(steps, 1)], shards="a")
        loader = Loader(order, [streams, streams])
        hashes.append([loader.batch(step).hashes for step in range(order.step_count)])
    changed = [step for step, (a, b) in enumerate(zip(*hashes, strict=True)) if a != b]
    seen = Record(order, {"a": library.shards(tmp_path / "again")}).seen(one.id)
    assert seen is not None and changed == [part.step for part in seen]
    assert (
        any(part.step < order.stages[1].first_sample for part in seen) and seen[-1].step >= order.stages[1].first_sample
    )


# --- a new run from an old checkpoint ---


def _chosen(bench: Bench, case: str, first: dict[str, int]) -> list[str]:
    """Documents for a kind of hole, none of them read before step 6."""
    de = list(bench.library.sorted("de"))
    late = [each.id for each in de if first.get(each.id, 99) >= 6]
    if case == "first":
        return [min(late)]
    if case == "last":
        return [max(late)]
    if case == "two adjacent":
        pairs = itertools.pairwise(de)
        return list(next((a.id, b.id) for a, b in pairs if a.id in late and b.id in late))
    if case == "over a part border":
        part = dict(zip([each.id for each in de], part_of(_ids(de), 4).tolist(), strict=True))
        border = [(a.id, b.id) for a, b in itertools.pairwise(de) if part[a.id] != part[b.id]]
        return list(next(pair for pair in border if any(each in late for each in pair)))
    if case == "a whole window":
        return [max((each for each in de if each.id in late), key=lambda each: len(each.tokens)).id]
    if case == "never read":
        return [each for each in sorted(bench.library.documents) if each not in first][:1]
    assert case == "in the first step", case
    return [min(first, key=lambda each: (first[each], each))]


def _ids(documents: Sequence[making.Document]) -> object:
    import pyarrow as pa

    return pa.array([each.id for each in documents])


CASES = ["first", "last", "two adjacent", "over a part border", "a whole window", "never read", "in the first step"]


@pytest.mark.parametrize("case", CASES)
def test_case_07_a_restart_has_the_bytes_of_training_from_zero(bench: Bench, with_holes: Holes, case: str) -> None:
    """Weights and optimiser; and no later checkpoint than the newest clean one is taken."""
    bench.mixture = making.mixture(bench.folder / "m", {"de": 0.8, "fr": 0.2})
    old = bench.train("old", tokens=1200)
    first = first_steps(bench, old)
    withdrawn = _chosen(bench, case, first)
    kept = sorted(int(path.name) for path in (old.folder / "_run" / "checkpoints").iterdir())
    saw = min([first[each] for each in withdrawn if each in first], default=99)
    clean, later = [n for n in kept if n <= saw], [n for n in kept if n > saw]
    holed = with_holes(withdrawn)
    zero = holed.train("zero", tokens=1200)
    new = holed.train("new", earlier=[old], tokens=1200)
    assert files_of(new) == files_of(zero) and making.digest(new) == making.digest(zero)
    assert (making.digest(new) == making.digest(old)) is False  # the order names other shards
    said = holed.said("new")
    assert ("going on from checkpoint" in said) is bool(clean)
    if clean:
        assert f"going on from checkpoint {clean[-1]} of" in said
    if later:
        assert f"an older build's checkpoint {later[0]} can't be used" in said


@pytest.mark.parametrize(
    "changes", [{"lr": 4e-3}, {"weight_decay": 0.2}, {"seed": 8}, {"clip": 0.5}, {"micro_batch": 2}]
)
def test_case_07_a_checkpoint_of_another_config_is_not_taken(bench: Bench, changes: dict[str, object]) -> None:
    old = bench.train("old", tokens=800)
    zero = bench.train("zero", tokens=800, **changes)
    new = bench.train("new", earlier=[old], tokens=800, **changes)
    assert files_of(new) == files_of(zero) and "going on" not in bench.said("new")


def test_case_07_a_longer_run_goes_on_as_far_as_the_schedule_agrees(bench: Bench) -> None:
    """The rates of WSD agree until the shorter run cools down; warm-up is off, since it is a share of the run."""
    changes = {"warmup_share": 0.0, "schedule": {"use": "wsd", "cooldown_share": 0.25}}
    old = bench.train("old", tokens=1000, **changes)
    zero = bench.train("zero", tokens=2000, **changes)
    new = bench.train("new", earlier=[old], tokens=2000, **changes)
    assert files_of(new) == files_of(zero) and "going on from checkpoint 8 of 32" in bench.said("new")


def test_the_very_same_run_built_again_is_trained_from_zero(bench: Bench) -> None:
    """Else `run --again` would compare an old result with itself."""
    old = bench.train("old", tokens=400)
    assert making.digest(bench.train("new", earlier=[old], tokens=400)) == making.digest(old)
    assert "going on" not in bench.said("new")


@pytest.mark.parametrize("change", ["added", "removed", "promoted"])
def test_case_05_added_removed_and_promoted_documents_are_another_order(bench: Bench, change: str) -> None:
    """A promoted duplicate is one document removed and another, of the same text, added."""
    old = bench.train("old", tokens=800)
    library = bench.library
    victim = library.sorted("de")[3]
    if change != "added":
        del library.documents[victim.id]
    if change != "removed":
        library.add("de", victim.tokens[1:-1], "a copy elsewhere")
    bench.shards = library.shards(bench.folder / "changed")
    zero = bench.train("zero", tokens=800)
    new = bench.train("new", earlier=[old], tokens=800)
    assert files_of(new) == files_of(zero) and "going on" not in bench.said("new")
    assert "can't be used" in bench.said("new")


def test_case_06_a_run_on_holes_alone_stays_finite(bench: Bench, with_holes: Holes) -> None:
    model = with_holes(list(bench.library.documents)).train(tokens=400)
    rows = read_table(model.path("metrics.parquet")).to_pylist()
    assert all(row["loss"] == 0 and row["grad_norm"] == 0 for row in rows)


# --- the token ---


def test_case_07_withdrawn_has_no_gradient_and_noise_in_its_place_changes_nothing(
    bench: Bench, with_holes: Holes
) -> None:
    import torch

    from allmend.model import build

    holed = with_holes(sorted(bench.library.documents)[::2])
    streams = open_streams(holed.shards)
    order = Order(7).with_stage(SHARES, streams.tokens, context=64, batches=[(3, 6)])
    batch = Loader(order, [streams]).batch(1)
    assert (batch.inputs == WITHDRAWN).any() and not (batch.labels == WITHDRAWN).any()
    given = {
        "positions_BS": torch.from_numpy(batch.positions), "segments_BS": torch.from_numpy(batch.segments),
        "labels_BS": torch.from_numpy(batch.labels),
    }  # fmt: skip
    model = build("llama", "small", vocab=64, context=64, seed=1)
    assert not model.shape.tied  # a tied row is an output too
    nats = model(torch.from_numpy(batch.inputs), **given)
    nats.sum().backward()
    embedding = model.model.embed_tokens.weight
    assert embedding.grad is not None
    assert embedding.grad[WITHDRAWN].abs().max() == 0 and embedding.grad.abs().max() > 0
    with torch.no_grad():
        embedding[WITHDRAWN] = torch.randn(embedding.shape[1])
        assert torch.equal(model(torch.from_numpy(batch.inputs), **given), nats)


def test_labels_inside_holes_and_beside_them_do_not_count(bench: Bench, with_holes: Holes) -> None:
    holed = with_holes(sorted(bench.library.documents)[::2])
    streams = open_streams(holed.shards)
    order = Order(7).with_stage(SHARES, streams.tokens, context=CONTEXT, batches=[(20, 4)])
    for step in range(20):
        batch = Loader(order, [streams]).batch(step)
        idle = batch.inputs == WITHDRAWN
        assert (batch.labels[idle] == IGNORED).all()
        targets = np.concatenate([batch.inputs[:, 1:], batch.rows[:, -1:].astype(np.int64)], axis=1)
        assert (batch.labels[targets == WITHDRAWN] == IGNORED).all()


def test_case_09_order_and_checkpoints_survive_whatever_is_withdrawn_as_long_as_others_keep_their_fate(
    bench: Bench, with_holes: Holes
) -> None:
    """The kept member of a duplicate cluster becomes a hole and no copy is promoted: the order is the old one."""
    old = bench.train("old", tokens=800)
    holed = with_holes([bench.library.sorted("fr")[0].id])
    new = holed.train("new", earlier=[old], tokens=800)
    one, other = (Order.read(model.path("order.json")).as_json() for model in (old, new))
    assert one["stages"][0].pop("shards") != other["stages"][0].pop("shards") and one == other
    assert config_of().seed == new.json("summary.json")["seed"]


def test_case_08_no_page_can_forge_a_special_token(tmp_path: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import BPE
    from tokenizers.pre_tokenizers import ByteLevel
    from tokenizers.trainers import BpeTrainer

    from allmend.kinds import SPECIAL_TOKENS, load_tokenizer

    made = Tokenizer(BPE())
    made.pre_tokenizer = ByteLevel(add_prefix_space=False)
    alphabet = ByteLevel.alphabet()
    made.train_from_iterator(
        ["a page"], BpeTrainer(vocab_size=300, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet)
    )
    page = "text " + " ".join(SPECIAL_TOKENS) + "".join(SPECIAL_TOKENS)
    for turn in range(2):  # again after save and load
        (tmp_path / str(turn)).mkdir()
        made.save(str(tmp_path / str(turn) / "tokenizer.json"))
        made = load_tokenizer(tmp_path / str(turn))
        ids = made.encode(page).ids
        assert min(ids) >= len(SPECIAL_TOKENS)
