"""What a model recites: figures by hand, and a model that has learnt eight passages by heart."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allmend.audit import STEPS
from allmend.audit.index import digest_of
from allmend.audit.memorisation import MemorisationConfig, longest_shared_run, wilson
from allmend.audit.order import PERIOD, packed
from allmend.audit.probes import ProbesConfig
from allmend.flow import run_alone
from allmend.kinds import Estimate, Findings, Model, Probes, Tokenizer, read_table, write_json
from allmend.kinds.errors import UsageError

STEP = STEPS["memorisation"]
CONTEXT = 64


@pytest.fixture(scope="module")
def probes(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Probes:
    """Eight passages planted once and eight never."""
    config = ProbesConfig(count=16, length=CONTEXT, repeats=[0, 1], seed=7)
    return run_alone(STEPS["probes"], tmp_path_factory.mktemp("probes") / "probes", config, tokenizer=tokenizer)


def passages(probes: Probes, repeats: int) -> list[list[int]]:
    rows = read_table(probes.path("probes.parquet")).to_pylist()
    return [row["tokens"] for row in rows if row["repeats"] == repeats]


def a_model(
    folder: Path, tokenizer: Tokenizer, context: int = CONTEXT, seen: list[list[int]] = (), steps: int = 0
) -> Model:  # type: ignore[assignment]
    """A tiny model, trained on some passages by a bare loop: nothing of `train` is in here."""
    import torch

    from allmend.model import build, save_model

    torch.set_num_threads(1)
    module = build("llama", "tiny", vocab=2000, context=context, seed=1)
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(steps):
        tokens_BT = torch.tensor(seen)
        logits_BSV = module(tokens_BT[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits_BSV.flatten(0, 1), tokens_BT[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_model(module, folder, tokenizer.folder)
    return Model(folder)


def an_order(probes: Probes, samples: int, context: int = CONTEXT) -> dict[str, Any]:
    windows = len(packed(read_table(probes.path("probes.parquet")).to_pylist(), context))
    domains = [{"name": "probes", "tokens": windows * context, "dealt": 0}]
    stage = {"first_sample": 0, "samples": samples, "S": context, "shards": "", "weights": [PERIOD], "domains": domains}
    return {
        "format": 1,
        "seed": 1,
        "stages": [{**stage, "probes": digest_of(probes)}],
        "steps": [[0, 0, 4]],
        "skipped": [],
    }


def rows(findings: Findings, table: str) -> list[dict[str, Any]]:
    return read_table(findings.path(f"{table}.parquet")).to_pylist()


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory, tokenizer: Tokenizer) -> Model:
    return a_model(tmp_path_factory.mktemp("model") / "model", tokenizer)


def test_eight_seen_passages_are_recited_and_none_of_eight_unseen(
    tmp_path: Path, probes: Probes, tokenizer: Tokenizer
) -> None:
    model = a_model(tmp_path / "model", tokenizer, seen=passages(probes, 1), steps=120)
    write_json(model.path("order.json"), an_order(probes, samples=8 * 120))
    findings = run_alone(STEP, tmp_path / "findings", MemorisationConfig(), model=model, probes=probes)
    unseen, seen = rows(findings, "curve")
    assert seen["recalled"] >= 0.9 * 8 and unseen["recalled"] == 0
    assert seen["nats_high"] < 0.5 and unseen["nats_low"] > 3
    assert (seen["realised_mean"], unseen["realised_mean"]) == (120, 0)
    assert "8 at 1" in findings.json("summary.json")["found"][0]


def test_an_untrained_model_recites_nothing_and_the_summary_says_so(
    tmp_path: Path, probes: Probes, untrained: Model
) -> None:
    findings = run_alone(STEP, tmp_path / "findings", MemorisationConfig(), model=untrained, probes=probes)
    summary = findings.json("summary.json")
    assert summary["recalled"] == 0 and "recites none of the 16" in summary["found"][0]
    assert summary["order_known"] is False and "no domain `probes`" in summary["found"][2]
    assert {row["realised"] for row in rows(findings, "memorisation")} == {0}
    assert summary["nats_per_token_at_most_repeats"] == pytest.approx(np.log(2000), abs=0.5)


def test_rows_agree_with_the_model_asked_by_hand(tmp_path: Path, probes: Probes, untrained: Model) -> None:
    """Greedy continuation and nats of the second half, from plain forward passes over each whole passage."""
    import torch

    from allmend.model import load_model

    loaded = load_model(untrained.folder)
    findings = run_alone(STEP, tmp_path / "findings", MemorisationConfig(), model=untrained, probes=probes)
    planted = read_table(probes.path("probes.parquet")).to_pylist()
    for row, probe in itertools.islice(zip(rows(findings, "memorisation"), planted, strict=True), 3):
        tokens = probe["tokens"]
        logprobs = loaded.module(torch.tensor([tokens])).log_softmax(-1)[0]
        expected = -np.mean([float(logprobs[at - 1, tokens[at]]) for at in range(32, 63)])
        assert row["nats_per_token"] == pytest.approx(expected, abs=1e-4)
        written = tokens[:32]
        while len(written) < 63:
            written.append(int(loaded.module(torch.tensor([written]))[0, -1].argmax()))
        assert row["generated"] == loaded.tokenizer.decode(written[32:], skip_special_tokens=False)


def test_two_builds_give_the_same_bytes(tmp_path: Path, probes: Probes, untrained: Model) -> None:
    made = [run_alone(STEP, tmp_path / n, MemorisationConfig(), model=untrained, probes=probes) for n in ("one", "two")]
    assert digest_of(made[0]) == digest_of(made[1])


def test_a_probe_longer_than_the_context_is_refused(tmp_path: Path, probes: Probes, tokenizer: Tokenizer) -> None:
    with pytest.raises(UsageError, match="64 tokens, and the model's context is 32"):
        run_alone(
            STEP, tmp_path / "f", MemorisationConfig(), model=a_model(tmp_path / "m", tokenizer, 32), probes=probes
        )


@pytest.mark.parametrize(
    ("successes", "trials", "low", "high"),
    [(0, 5, 0, 0.434), (5, 5, 0.566, 1), (1, 2, 0.095, 0.905), (81, 263, 0.255, 0.366)],
)
def test_wilson_intervals_are_those_of_the_tables(successes: int, trials: int, low: float, high: float) -> None:
    """The last one is the worked example of Newcombe 1998 (Statist. Med. 17, table I, method 3)."""
    assert wilson(successes, trials) == pytest.approx((low, high), abs=5e-4)


@given(st.lists(st.integers(0, 3), max_size=12), st.lists(st.integers(0, 3), max_size=12))
def test_the_longest_shared_run_is_that_of_brute_force(a: list[int], b: list[int]) -> None:
    runs = [a[at : at + n] for n in range(len(a), 0, -1) for at in range(len(a) - n + 1)]
    fits = (len(run) for run in runs if any(b[at : at + len(run)] == run for at in range(len(b))))
    assert longest_shared_run(a, b) == next(fits, 0)


def test_cost_follows_the_model() -> None:
    found = STEP.cost(
        MemorisationConfig(), {"model": Estimate(parameters={"total": 10**9}), "probes": Estimate(tokens=1600)}
    )
    assert found.flops == 2 * 10**9 * 1600 and found.memory_bytes == 4 * 10**9
