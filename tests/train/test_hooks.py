"""Cost, shrink and touches of `train.pretrain`."""

from __future__ import annotations

from pathlib import Path

import pytest

from allmend.kinds import Shrink
from allmend.model import count_parameters, shape_of
from allmend.train import STEPS, PretrainConfig
from tests.train.conftest import Bench, config_of

STEP = STEPS["pretrain"]


def timescale(config: PretrainConfig) -> float:
    """τ = B / (η·λ·D)."""
    return config.batch * config.context / (config.lr * config.weight_decay * config.tokens)


def test_cost_is_six_times_parameters_times_tokens() -> None:
    assert STEP.cost is not None
    config = config_of(tokens=600_000, context=128, batch=8)
    found = STEP.cost(config, {})
    assert found.tokens == 586 * 8 * 128 and found.parameters == count_parameters(
        shape_of("apertus", "tiny", None, 128)
    )
    assert found.flops == 6 * found.parameters["active"] * found.tokens
    assert found.memory_bytes > 16 * found.parameters["total"] and found.disk_bytes > 0 and found.seconds > 0


def test_cost_of_a_published_size_is_its_own() -> None:
    assert STEP.cost is not None
    found = STEP.cost(config_of(preset="8b", tokens=15 * 10**12, context=4096, batch=1024), {})
    assert found.parameters["total"] == pytest.approx(8e9, rel=0.02) and found.flops == pytest.approx(7.2e23, rel=0.02)


@pytest.mark.parametrize("asked", [Shrink(10**6), Shrink(10**6, 10**8), Shrink(2 * 10**7), Shrink(10**6, 20_000)])
def test_shrink_holds_timescale_tokens_per_parameter_and_schedule(asked: Shrink) -> None:
    assert STEP.shrink is not None
    full = config_of(preset="8b", tokens=15 * 10**12, context=4096, batch=1024, lr=3e-4, schedule="cosine")
    small = STEP.shrink(full, asked)
    sizes = [count_parameters(shape_of("apertus", each.preset))["non_embedding"] for each in (full, small)]
    assert isinstance(small, PretrainConfig) and sizes[1] <= asked.parameters and small.context == 256
    assert timescale(small) == pytest.approx(timescale(full), rel=1e-9)
    assert small.schedule == full.schedule and small.warmup_share == full.warmup_share and small.steps >= 8
    if asked.tokens is None:
        assert small.tokens / sizes[1] == pytest.approx(full.tokens / sizes[0], rel=1e-6)
    else:
        assert small.tokens == asked.tokens


def test_shrink_keeps_a_small_context_and_a_micro_batch_that_divides() -> None:
    assert STEP.shrink is not None
    full = config_of(preset="small", tokens=10**7, context=64, batch=64, micro_batch=8)
    small = STEP.shrink(full, Shrink(500_000, 10**6))
    assert small.preset == "tiny" and small.context == 64 and small.micro_batch in (8, None)
    assert small.micro_batch is None or small.batch % small.micro_batch == 0


def test_touches_finds_first_step_and_newest_clean_checkpoint(bench: Bench) -> None:
    model = bench.train(tokens=1200)
    inputs = {"shards": bench.shards, "mixture": bench.mixture}
    kept = sorted(int(path.name) for path in (model.folder / "_run" / "checkpoints").iterdir())
    whole = STEP.touched(model, list(bench.library.documents), inputs)
    assert whole.first_step == 0 and whole.restart is None
    for each in bench.library.sorted()[::6]:
        found = STEP.touched(model, [each.id, "f" * 32], inputs)
        if found.first_step is None:
            assert found.documents == 0 and found.restart == kept[-1]
            continue
        assert found.documents == 1 and found.tokens == len(each.tokens)
        assert found.by_domain == {each.domain: (1, 0, len(each.tokens))}
        assert found.restart == max((n for n in kept if n <= found.first_step), default=None)


def test_touches_says_nothing_without_the_shards(bench: Bench, tmp_path: Path) -> None:
    model = bench.train(tokens=200)
    assert STEP.touched(model, list(bench.library.documents), {}).documents == 0
