"""Probabilities of given tokens and draws of new ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from allmend.kinds.errors import DamagedError, UsageError
from allmend.model import Loaded, Shape, device_of, generate, load_model, log_probabilities, save_model
from allmend.model.decoder import build_shape
from tests.model.conftest import small_shape


@pytest.fixture
def loaded(shape: Shape, tmp_path: Path) -> Loaded:
    decoder = build_shape(shape, 2)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.mul_(1.5)
    save_model(decoder, tmp_path)
    return load_model(tmp_path)


def test_log_probabilities_are_those_of_one_forward_each(loaded: Loaded, random: np.random.Generator) -> None:
    sequences = [random.integers(0, 97, length).tolist() for length in (5, 1, 40, 2, 0, 64, 5)]
    for batch_tokens in (1, 100, 10_000):
        found = log_probabilities(loaded, sequences, batch_tokens)
        for sequence, logprobs in zip(sequences, found, strict=True):
            assert logprobs.shape == (max(0, len(sequence) - 1),)
            if len(logprobs):
                every = loaded.module(torch.tensor([sequence]))[0].log_softmax(-1)
                wanted = every[:-1].gather(1, torch.tensor(sequence[1:])[:, None])[:, 0]
                np.testing.assert_allclose(logprobs, wanted.numpy(), atol=1e-5)


def test_a_sequence_beyond_the_context_is_refused(loaded: Loaded) -> None:
    with pytest.raises(UsageError, match="65 tokens is longer than the model's context of 64"):
        log_probabilities(loaded, [[1] * 65])
    with pytest.raises(UsageError, match="64 tokens; this model takes 1 to 63"):
        generate(loaded, [1] * 64, max_tokens=1)
    with pytest.raises(UsageError, match="0 tokens"):
        generate(loaded, [], max_tokens=1)


def test_greedy_takes_the_likeliest_token_and_reports_its_probability(loaded: Loaded) -> None:
    tokens = [1, 20, 30]
    for drawn in generate(loaded, tokens, max_tokens=12, stop_tokens=(), top_logprobs=3):
        logprobs = loaded.module(torch.tensor([tokens]))[0, -1].log_softmax(-1)
        assert drawn.token == int(logprobs.argmax())
        assert drawn.logprob == pytest.approx(float(logprobs.max()), abs=1e-5)
        assert [token for token, _ in drawn.top] == logprobs.topk(3).indices.tolist()
        tokens.append(drawn.token)
    assert len(tokens) == 15


def test_the_same_seed_draws_the_same_tokens(loaded: Loaded) -> None:
    def draw(seed: int) -> list[int]:
        drawn = generate(loaded, [1], max_tokens=40, temperature=1.5, seed=seed, stop_tokens=())
        return [each.token for each in drawn]

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_draws_follow_the_models_probabilities(loaded: Loaded) -> None:
    shares = loaded.module(torch.tensor([[1, 5]]))[0, -1].softmax(-1)
    drawn = [
        next(generate(loaded, [1, 5], max_tokens=1, temperature=1.0, seed=seed, stop_tokens=())) for seed in range(600)
    ]
    best = int(shares.argmax())
    share = float(shares[best])
    count = sum(each.token == best for each in drawn)
    assert abs(count - 600 * share) < 5 * (600 * share * (1 - share)) ** 0.5 + 1


def test_the_nucleus_holds_the_smallest_set_that_reaches_it(loaded: Loaded) -> None:
    shares, order = loaded.module(torch.tensor([[1, 5]]))[0, -1].softmax(-1).sort(descending=True)
    top_p = float(shares[:3].sum()) - 1e-4
    drawn = {
        next(generate(loaded, [1, 5], max_tokens=1, temperature=1.0, top_p=top_p, seed=seed, stop_tokens=())).token
        for seed in range(300)
    }
    assert drawn <= set(order[:3].tolist())
    nearly_none = generate(loaded, [1, 5], max_tokens=1, temperature=1.0, top_p=1e-9, seed=1, stop_tokens=())
    assert next(nearly_none).token == int(order[0])


def test_a_stop_token_ends_it_and_is_not_given_out(loaded: Loaded) -> None:
    every = [each.token for each in generate(loaded, [1], max_tokens=30, temperature=2.0, stop_tokens=())]
    stop = every[10]
    until = [each.token for each in generate(loaded, [1], max_tokens=30, temperature=2.0, stop_tokens={stop})]
    assert until == every[: every.index(stop)]


def test_generation_ends_with_the_context(loaded: Loaded) -> None:
    assert len(list(generate(loaded, [1] * 60, max_tokens=100, stop_tokens=()))) == 4


def test_tokens_that_must_never_come_do_not(loaded: Loaded) -> None:
    every = {each.token for each in generate(loaded, [1], max_tokens=60, temperature=3.0, stop_tokens=())}
    never = sorted(every)[: len(every) // 2]
    drawn = {each.token for each in generate(loaded, [1], max_tokens=60, temperature=3.0, stop_tokens=(), never=never)}
    assert drawn and not drawn & set(never)


def test_generating_does_not_leave_inference_mode_on(loaded: Loaded) -> None:
    tokens = generate(loaded, [1], max_tokens=3, stop_tokens=())
    next(tokens)
    assert not torch.is_inference_mode_enabled()


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_model(build_shape(small_shape("apertus"), 1), tmp_path / name)
    files = [{path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two")]
    assert files[0] == files[1]
    assert sorted(files[0]) == ["config.json", "generation_config.json", "model.safetensors"]


def test_a_broken_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        load_model(tmp_path)
    save_model(build_shape(small_shape("llama"), 1), tmp_path)
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"intermediate_size":40', '"intermediate_size":41'))
    with pytest.raises(
        DamagedError, match=r"down_proj\.weight has shape \(24, 40\), but by config\.json it is \(24, 41\)"
    ):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(config.replace('"llama"', '"mamba"'))
    with pytest.raises(UsageError, match="model_type 'mamba' is not known; there are: apertus, llama"):
        load_model(tmp_path)
    (tmp_path / "config.json").write_text(config)
    (tmp_path / "model.safetensors").write_bytes(b"x" * 20)
    with pytest.raises(DamagedError, match="these weights can't be read"):
        load_model(tmp_path)


def test_a_device_that_is_not_here_is_an_error_that_names_what_is() -> None:
    assert device_of("cpu").type == "cpu"
    with pytest.raises(UsageError, match="there is: cpu"):
        device_of("xpu" if torch.accelerator.current_accelerator() is None else "mps")
    with pytest.raises(UsageError, match="not known"):
        device_of("abacus")
