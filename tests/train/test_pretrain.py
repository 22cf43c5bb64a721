"""Whole small runs: the same bytes twice, after a kill, after a stop; what is refused; what a finished model holds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from allmend.kinds import read_table
from allmend.kinds.errors import Interrupted, StepFailed
from tests.train import making, reference
from tests.train.conftest import Bench, config_of, files_of

pytest.importorskip("torch", reason="torch")


def metrics(model: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = read_table(model.path("metrics.parquet")).to_pylist()
    return rows


def test_two_runs_give_the_same_bytes(bench: Bench) -> None:
    bench.probes = making.probes(bench.folder / "probes", [0, 1, 3])
    one, other = bench.train("one"), bench.train("other")
    assert making.digest(one) == making.digest(other) and files_of(one) == files_of(other)


def test_changed_parts_and_width_give_the_same_model(bench: Bench) -> None:
    one = bench.train("one")
    bench.shards = bench.library.shards(bench.folder / "wide", parts=16, dtype="uint32")
    assert files_of(one) == files_of(bench.train("other"))


def test_a_model_learns_and_holds_what_the_contract_says(bench: Bench) -> None:
    bench.probes = making.probes(bench.folder / "probes", [0, 1, 3])
    model = bench.train()
    rows = metrics(model)
    assert list(rows[0]) == ["step", "samples", "tokens", "loss", "lr", "grad_norm", "batch_hash", "chain"]
    assert (
        [row["step"] for row in rows] == list(range(32)) and rows[-1]["samples"] == 128 and rows[-1]["tokens"] == 2048
    )
    assert rows[-1]["loss"] < rows[0]["loss"] == pytest.approx(np.log(64), abs=0.3)
    planted = read_table(model.path("probes.parquet")).to_pylist()
    assert sorted((row["repeats"], row["realised"]) for row in planted) == [(0, 0), (1, 1), (3, 3)]
    domains = {row["domain"]: row for row in read_table(model.path("domains.parquet")).to_pylist()}
    assert sum(row["samples"] for row in domains.values()) == 128 and domains["probes"]["epochs"] == 1.0
    for name in ("de", "fr", "sw"):
        stream = bench.library.stream(name)
        assert domains[name]["tokens"] == len(stream) and domains[name]["windows"] == -(-len(stream) // 16)
        assert domains[name]["pad_share"] == pytest.approx(1 - len(stream) / (domains[name]["windows"] * 16))
    assert model.json("summary.json")["steps"] == 32 and model.json("summary.json")["chain"] == rows[-1]["chain"]


def test_losses_of_the_domains_are_those_of_the_last_quarter(bench: Bench) -> None:
    model = bench.train()
    domains = read_table(model.path("domains.parquet")).to_pylist()
    counted = sum(row["labels"] * row["loss"] for row in domains if row["labels"]) / sum(
        row["labels"] for row in domains
    )
    assert counted == pytest.approx(np.mean([row["loss"] for row in metrics(model)[-8:]]), rel=0.02)


def test_the_model_loads_in_transformers_offline_with_equal_logits(bench: Bench) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from allmend.model import load_model

    model = bench.train(tokens=200)
    tokens = torch.randint(13, 64, (2, 10), generator=torch.Generator().manual_seed(1))
    theirs = AutoModelForCausalLM.from_pretrained(model.folder, local_files_only=True)(tokens).logits
    ours = load_model(model.folder).module(tokens)
    assert torch.allclose(ours, theirs, atol=1e-5)


# --- going on ---


def test_a_stopped_run_keeps_a_checkpoint_and_ends_with_the_same_bytes(bench: Bench) -> None:
    whole = bench.train("whole")
    with pytest.raises(Interrupted, match=r"stopped after step 13 of 32; checkpoint 14 is kept"):
        bench.train("stopped", stop_at=13)
    assert files_of(bench.train("stopped", again=True)) == files_of(whole)
    assert "going on from checkpoint 14 of 32" in bench.said("stopped")


@pytest.mark.parametrize("damage", ["model.safetensors", "optimizer.safetensors", "metrics.parquet", "state.json"])
def test_a_truncated_checkpoint_is_said_and_the_one_before_is_used(bench: Bench, damage: str) -> None:
    whole = bench.train("whole")
    with pytest.raises(Interrupted):
        bench.train("cut", stop_at=13)
    newest = bench.state("cut") / "14" / damage
    newest.write_bytes(newest.read_bytes()[:-7])
    assert files_of(bench.train("cut", again=True)) == files_of(whole)
    assert f"checkpoint 14: {damage}" in bench.said("cut") and "going on from checkpoint 12 of 32" in bench.said("cut")


def test_a_flipped_byte_in_a_checkpoint_is_found(bench: Bench) -> None:
    with pytest.raises(Interrupted):
        bench.train("flipped", stop_at=13)
    path = bench.state("flipped") / "14" / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    bench.train("flipped", again=True)
    assert "going on from checkpoint 12" in bench.said("flipped")


def test_only_the_newest_and_the_milestones_stay(bench: Bench) -> None:
    model = bench.train("whole", checkpoint_every=1)
    assert {int(path.name) for path in bench.state("whole").iterdir()} == {2, 4, 8, 16, 31, 32}
    assert {int(path.name) for path in (model.folder / "_run" / "checkpoints").iterdir()} == {2, 4, 8, 16, 32}


KILLED = """
import sys
from pathlib import Path
from tests.train.conftest import Bench, config_of
from tests.train import making
from allmend.kinds import Mixture, Shards
folder = Path(sys.argv[1])
bench = Bench(folder, None, Shards(folder / "shards"), Mixture(folder / "mixture"))
bench.train("killed", again=True, tokens=4000, checkpoint_every=3)
"""


@pytest.mark.system
def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(bench: Bench) -> None:
    whole = bench.train("whole", tokens=4000, checkpoint_every=3)
    seed = int.from_bytes(os.urandom(4), "big")
    rng = np.random.default_rng(seed)
    print(f"seed {seed}")
    for at in sorted(rng.choice(np.arange(3, 60), 3, replace=False).tolist()):
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(bench.folder)], env=environment)
        until = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < until:
            done = (
                [int(path.name) for path in bench.state("killed").glob("[0-9]*")]
                if bench.state("killed").is_dir()
                else []
            )
            if max(done, default=0) >= at:
                time.sleep(float(rng.uniform(0, 0.05)))  # anywhere between or inside a checkpoint
                process.send_signal(signal.SIGKILL)
        process.wait()
    again = bench.train("killed", again=True, tokens=4000, checkpoint_every=3)
    assert files_of(again) == files_of(whole)
    assert "going on from checkpoint" in bench.said("killed")


# --- what is refused ---


def test_a_loss_that_is_not_a_number_names_step_and_documents(bench: Bench) -> None:
    with pytest.raises(
        StepFailed, match=r"step \d+: the loss is .* Its batch holds \d+ documents: [0-9a-f]{32} \(https://"
    ):
        bench.train(lr=1e30, clip=None, warmup_share=0.0)
    assert not (bench.folder / "model" / "model.safetensors").exists()


def test_more_epochs_than_the_mixture_allows_are_refused_by_name(bench: Bench) -> None:
    bench.mixture = making.mixture(bench.folder / "capped", {"de": 0.5, "fr": 0.3, "sw": 0.2}, max_epochs=1.0)
    short = len(bench.library.stream("sw"))
    assert bench.train("short", tokens=short * 3)
    with pytest.raises(StepFailed, match=r"the domain `de` 2.39 times .* allows 1\. Train on at most"):
        bench.train("long", tokens=short * 12)


def test_a_domain_of_the_mixture_without_tokens_is_named(bench: Bench) -> None:
    bench.mixture = making.mixture(bench.folder / "wrong", {"de": 0.5, "frr": 0.5})
    with pytest.raises(StepFailed, match=r"`frr`, which has no tokens in the shards\. Did you mean `fr`"):
        bench.train()


def test_probes_that_fill_the_run_are_refused(bench: Bench) -> None:
    bench.probes = making.probes(bench.folder / "probes", [500])
    with pytest.raises(StepFailed, match="the probes takes 500 samples"):
        bench.train()


@pytest.mark.parametrize(("changes", "message"), [
    ({"family": "apertuss"}, "Did you mean `apertus`"), ({"preset": "tinny"}, "Did you mean `tiny`"),
    ({"schedule": "wsdd"}, "Did you mean `wsd`"), ({"schedule": {"use": "wsd", "cooldown": 1}}, "cooldown"),
    ({"micro_batch": 3}, "a micro-batch of 3 samples doesn't divide the batch of 4"), ({"tokens": 0}, "greater than 0"),
])  # fmt: skip
def test_a_wrong_config_is_refused_before_anything_runs(changes: dict[str, Any], message: str) -> None:
    from allmend.kinds import load_config
    from allmend.kinds.errors import RecipeError
    from allmend.train import PretrainConfig
    from tests.train.conftest import SMALL

    with pytest.raises(RecipeError, match=message):
        load_config(PretrainConfig, {**SMALL, **changes}, lambda place: ".".join(map(str, place)))


# --- the objective ---


def oracle(model: Any, tokens_BT: list[list[int]]) -> float:
    """Loss of a batch by running each segment alone, without padding, one label at a time."""
    import torch

    nats, count = 0.0, 0
    for tokens in tokens_BT:
        numbers, _ = reference.segments(tokens[:-1])
        labels = reference.labels(tokens)
        for number in sorted(set(numbers)):
            places = [place for place, each in enumerate(numbers) if each == number]
            logits = model(torch.tensor([[tokens[place] for place in places]]))[0].detach().double().log_softmax(-1)
            for row, place in enumerate(places):
                if labels[place] is not None:
                    nats, count = nats - float(logits[row, labels[place]]), count + 1
    return nats / count


def trainer_of(bench: Bench, **changes: Any) -> Any:
    from allmend.train.loader import Loader
    from allmend.train.objective import Objective
    from allmend.train.ranks import Ranks
    from allmend.train.reading import order_of
    from allmend.train.streams import open_streams
    from allmend.train.trainer import Trainer

    config = config_of(**changes)
    streams = open_streams(bench.shards)
    order = order_of(config, streams, bench.shards, bench.mixture, None)
    return Trainer(config, Loader(order, [streams]), Objective(), bench.library.vocab, Ranks())


@pytest.mark.parametrize("micro_batch", [None, 1, 2])
def test_case_10_the_loss_is_that_of_an_oracle_that_pads_nothing(bench: Bench, micro_batch: int | None) -> None:
    for each in bench.library.sorted()[::3]:
        each.withdrawn = True
    bench.shards = bench.library.shards(bench.folder / "holed")
    trainer = trainer_of(bench, micro_batch=micro_batch)
    for step in range(4):
        batch = trainer.loader.batch(step)
        expected = oracle(trainer.model, batch.rows.tolist())
        fed = trainer.step(step, 1e-3)
        assert fed.loss == pytest.approx(expected, abs=2e-6)
        assert len(set(fed.labels.tolist())) > 1 or step  # uneven counts of labels


def test_case_10_micro_batches_change_nothing_but_rounding(bench: Bench) -> None:
    runs = [metrics(bench.train(f"micro {micro}", micro_batch=micro, tokens=1000)) for micro in (4, 2, 1)]
    assert [row["chain"] for row in runs[0]] == [row["chain"] for row in runs[1]] == [row["chain"] for row in runs[2]]
    for rows in runs[1:]:
        assert max(abs(a["loss"] - b["loss"]) for a, b in zip(runs[0], rows, strict=True)) < 1e-5


def test_goldfish_drops_labels_and_leaves_the_batches_as_they_are(bench: Bench) -> None:
    plain = bench.train("plain")
    compat = bench.train("compat", goldfish={"k": 3, "h": 4, "hash": "compat"})
    assert [row["chain"] for row in metrics(plain)] == [row["chain"] for row in metrics(compat)]
    labels = [
        sum(row["labels"] for row in read_table(model.path("domains.parquet")).to_pylist()) for model in (plain, compat)
    ]
    assert 0.6 < labels[1] / labels[0] < 0.85  # a third of all but each window's first three
