"""Weights by seed; causality, segments, cache and loss of the decoder."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from allmend.kinds import BOD, EOD, PAD, WITHDRAWN
from allmend.model import IGNORED, Shape, build, labels_of, segments_of
from allmend.model.attention import Cache, attend, segments_for
from allmend.model.decoder import Decoder, build_shape
from allmend.model.layers import Xielu
from allmend.model.loss import nats_of
from tests.model.conftest import SHAPES, VOCAB, small_shape


@pytest.fixture
def decoder(shape: Shape) -> Decoder:
    return build_shape(shape, 3)


def as_torch(*arrays: np.ndarray) -> list[torch.Tensor]:
    return [torch.from_numpy(each.astype(np.int64)) for each in arrays]


def some_tokens(random: np.random.Generator, *size: int) -> torch.Tensor:
    return torch.from_numpy(random.integers(8, VOCAB, size))


def test_the_same_seed_gives_the_same_bytes_and_another_gives_others() -> None:
    one, two, other = (build("apertus", "tiny", vocab=64, context=16, seed=seed).state_dict() for seed in (7, 7, 8))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_the_weights_of_a_seed_are_known() -> None:
    """Else every digest downstream would move unnoticed."""
    weight = build("apertus", "tiny", vocab=64, context=16, seed=7).model.layers[1].mlp.up_proj.weight
    assert weight[0, :3].tolist() == pytest.approx(KNOWN, abs=1e-9)


KNOWN = [0.0830750316, 0.0700528026, -0.1672385335]


def test_matrices_start_at_the_stated_width() -> None:
    decoder = build("llama", "tiny", seed=1)
    for name, parameter in decoder.named_parameters():
        if parameter.ndim == 2:
            assert float(parameter.detach().std()) == pytest.approx((2 / (5 * 128)) ** 0.5, rel=0.03), name
            assert abs(float(parameter.detach().mean())) < 1e-3, name


def test_a_token_sees_only_those_before_it(decoder: Decoder, random: np.random.Generator) -> None:
    tokens_BS = some_tokens(random, 2, 20)
    other_BS = tokens_BS.clone()
    other_BS[:, 12:] = some_tokens(random, 2, 8)
    torch.testing.assert_close(decoder(tokens_BS)[:, :12], decoder(other_BS)[:, :12], atol=1e-6, rtol=0)


def documents(random: np.random.Generator, batch: int, length: int) -> np.ndarray:
    """Windows that begin inside a document, and hold short documents, a hole and padding."""
    tokens_BS = random.integers(8, VOCAB, (batch, length))
    for row in tokens_BS:
        for start in np.sort(random.choice(np.arange(1, length - 1), 4, replace=False)):
            row[start - 1], row[start] = EOD, BOD
    tokens_BS[0, 5:10] = [*[WITHDRAWN] * 4, BOD]  # what follows a hole in a stream is a document, a hole or padding
    tokens_BS[0, -3:] = PAD
    return tokens_BS


@pytest.mark.parametrize("longest_mask", [0, 10_000])
def test_documents_side_by_side_are_as_if_each_were_alone(
    decoder: Decoder, random: np.random.Generator, longest_mask: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("allmend.model.attention.LONGEST_MASK", longest_mask)
    tokens_BS = documents(random, 3, 40)
    segments_BS, positions_BS = segments_of(tokens_BS)
    together = decoder(*as_torch(tokens_BS, positions_BS, segments_BS))
    for row in range(3):
        for first in np.unique(segments_BS[row]):
            inside = np.flatnonzero(segments_BS[row] == first)
            alone = decoder(*as_torch(tokens_BS[row, inside][None]))
            torch.testing.assert_close(together[row, inside], alone[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
def test_mask_and_slices_agree_forward_and_backward(kv_heads: int, random: np.random.Generator) -> None:
    segments_BS = torch.from_numpy(segments_of(documents(random, 3, 40))[0])
    found = []
    for longest in (0, 10_000):
        q, k, v = (
            torch.from_numpy(
                np.random.default_rng(seed).normal(size=(3, heads, 40, 8)).astype(np.float32)
            ).requires_grad_()
            for seed, heads in enumerate((4, kv_heads, kv_heads))
        )
        out = attend(q, k, v, segments_for(segments_BS, longest))
        (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        found.append((out, q.grad, k.grad, v.grad))
    for by_slice, by_mask in zip(*found, strict=True):
        torch.testing.assert_close(by_slice, by_mask, atol=2e-6, rtol=1e-6)


@pytest.mark.parametrize("longest_mask", [0, 10_000])
@pytest.mark.parametrize("token", [WITHDRAWN, PAD])
def test_a_window_of_holes_or_padding_only_is_finite(decoder: Decoder, token: int, longest_mask: int) -> None:
    tokens_BS = np.full((2, 16), token)
    tokens_BS[1, 3:5] = (BOD, EOD)
    segments_BS, positions_BS = segments_of(tokens_BS)
    x = decoder.model(
        *as_torch(tokens_BS, positions_BS), segments_for(torch.from_numpy(segments_BS), longest_mask), None
    )
    x.sum().backward()
    assert bool(x.isfinite().all())
    assert all(bool(each.grad.isfinite().all()) for each in decoder.model.parameters() if each.grad is not None)


def test_a_hole_leaves_no_trace_in_loss_or_gradient(decoder: Decoder, random: np.random.Generator) -> None:
    tokens_BT = documents(random, 2, 41)
    segments_BS, positions_BS = segments_of(tokens_BT[:, :-1])
    inputs = as_torch(tokens_BT[:, :-1], positions_BS, segments_BS)
    labels_BS = as_torch(labels_of(tokens_BT))[0]
    assert not bool((labels_BS == WITHDRAWN).any())
    before = decoder(*inputs, labels_BS=labels_BS)
    before.sum().backward()
    if not decoder.shape.tied:  # a tied row also stands in the head, where every softmax sees it
        assert float(decoder.model.embed_tokens.weight.grad[WITHDRAWN].abs().max()) == 0
        with torch.no_grad():
            decoder.model.embed_tokens.weight[WITHDRAWN] = torch.randn(decoder.shape.width)
        assert torch.equal(decoder(*inputs, labels_BS=labels_BS), before)


def test_the_loss_is_cross_entropy_of_the_labels_that_count(decoder: Decoder, random: np.random.Generator) -> None:
    tokens_BS, labels_BS = some_tokens(random, 3, 20), some_tokens(random, 3, 20)
    labels_BS[0, 4:9] = labels_BS[2, -1] = IGNORED
    logits_BSV = decoder(tokens_BS)
    wanted = torch.nn.functional.cross_entropy(logits_BSV.flatten(0, 1), labels_BS.flatten(), reduction="none")
    nats = decoder(tokens_BS, labels_BS=labels_BS)
    torch.testing.assert_close(nats, wanted[labels_BS.flatten() != IGNORED], atol=1e-5, rtol=1e-5)


def test_a_batch_without_labels_has_no_loss(decoder: Decoder) -> None:
    nats = decoder(torch.ones(1, 4, dtype=torch.int64), labels_BS=torch.full((1, 4), IGNORED))
    assert nats.shape == (0,)
    nats.sum().backward()


@pytest.mark.parametrize("rows", [1, 7, 300])
def test_the_loss_has_the_gradient_of_torchs_own(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allmend.model.loss.BLOCK_BYTES", 4 * 50 * 64)  # blocks of 64 rows
    noise = torch.Generator().manual_seed(1)
    x, weight = (torch.randn(size, 8, generator=noise).requires_grad_() for size in (rows, 50))
    labels, scale = torch.randint(0, 50, (rows,), generator=noise), torch.rand(rows, generator=noise)
    (nats_of(x, weight, labels) * scale).sum().backward()
    ours = x.grad, weight.grad
    x.grad = weight.grad = None
    (torch.nn.functional.cross_entropy(x @ weight.T, labels, reduction="none") * scale).sum().backward()
    torch.testing.assert_close(ours, (x.grad, weight.grad), atol=1e-5, rtol=1e-4)


def test_large_logits_do_not_overflow() -> None:
    nats = nats_of(torch.full((1, 1), 1e4), torch.tensor([[1.0], [0.0]]), torch.tensor([1]))
    assert float(nats[0]) == 1e4


def test_xielu_has_the_value_and_gradient_of_its_formula() -> None:
    ours = Xielu().double()
    x = torch.cat([torch.linspace(-6, 6, 50), torch.tensor([0.0])]).double().requires_grad_()
    softplus = torch.nn.functional.softplus
    positive, negative = softplus(ours.alpha_p), 0.5 + softplus(ours.alpha_n)
    wanted = torch.where(x > 0, positive * x * x + x / 2, (x.clamp(max=0).expm1() - x) * negative + x / 2)
    torch.testing.assert_close(ours(x), wanted)
    assert float(positive.detach()) == pytest.approx(0.8) and float(negative.detach()) == pytest.approx(0.8)
    assert torch.autograd.gradcheck(ours, (x,))
    inputs = (ours.alpha_p, ours.alpha_n)
    torch.testing.assert_close(*(torch.autograd.grad(y.cos().sum(), inputs) for y in (ours(x), wanted)))


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(list(SHAPES)), st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 99))
def test_cached_decoding_equals_one_forward(name: str, pieces: list[int], seed: int) -> None:
    decoder = build_shape(SHAPES[name], seed)
    tokens_BS = some_tokens(np.random.default_rng(seed), 2, sum(pieces))
    cache = Cache(decoder.shape.layers)
    with torch.inference_mode():
        found = [decoder(piece, cache=cache) for piece in tokens_BS.split(pieces, dim=1)]
        torch.testing.assert_close(torch.cat(found, dim=1), decoder(tokens_BS), atol=1e-5, rtol=0)


def test_a_cache_grows_past_its_first_buffer(random: np.random.Generator) -> None:
    decoder = build_shape(small_shape("apertus", context=400), 1)
    tokens_BS = some_tokens(random, 1, 300)
    cache = Cache(decoder.shape.layers)
    with torch.inference_mode():
        found = [decoder(tokens_BS[:, :100], cache=cache)]
        found += [decoder(tokens_BS[:, [place]], cache=cache) for place in range(100, 300)]
        torch.testing.assert_close(torch.cat(found, dim=1), decoder(tokens_BS), atol=1e-5, rtol=0)


def test_the_face_is_imported_without_torch() -> None:
    code = "import sys, allmend.model as m; m.count_parameters(m.shape_of('apertus', '8b')); "
    subprocess.run([sys.executable, "-c", code + "assert 'torch' not in sys.modules"], check=True)


def test_a_model_is_built_and_loaded_without_transformers() -> None:
    code = "import sys; from allmend.model import build, load_model; build('llama', 'tiny', vocab=20, seed=1); "
    subprocess.run([sys.executable, "-c", code + "assert 'transformers' not in sys.modules"], check=True)
