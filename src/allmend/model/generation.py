"""Tokens out of a model: probabilities of given ones, and new ones one by one with a cache of keys and values.

Shapes: B sequences, S tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from allmend.kinds.errors import UsageError
from allmend.model.attention import Cache
from allmend.model.folders import Loaded
from allmend.model.holes import IGNORED


class Drawn(NamedTuple):
    """One generated token."""

    token: int
    logprob: float
    """Natural log of its probability under the model, before temperature and nucleus."""
    top: tuple[tuple[int, float], ...]
    """The likeliest tokens with their log probabilities, as many as were asked for."""


@torch.inference_mode()
def log_probabilities(loaded: Loaded, sequences: Sequence[Sequence[int]], batch_tokens: int = 8192) -> list[np.ndarray]:
    """Natural log of the probability of each token but the first, given all those before it in its sequence.

    Args:
        sequences: token ids, each of at most the model's context.
        batch_tokens: sequences of about one length are read together, up to so many tokens with padding.

    Returns:
        One fp32 array of length − 1 a sequence, in the order given. A batch changes the last digits, not more.

    Raises:
        UsageError: a sequence is longer than the model's context.
    """
    context = loaded.shape.context
    if longest := max((len(each) for each in sequences if len(each) > context), default=0):
        raise UsageError(
            f"a sequence of {longest:,} tokens is longer than the model's context of {context:,}: cut it into windows."
        )
    out = [np.zeros(max(0, len(each) - 1), np.float32) for each in sequences]
    order = sorted(
        (index for index in range(len(sequences)) if len(sequences[index]) > 1),
        key=lambda index: -len(sequences[index]),
    )
    while order:
        count = max(1, batch_tokens // len(sequences[order[0]]))
        batch, order = order[:count], order[count:]
        nats = _batch_nats(loaded, [sequences[index] for index in batch]).cpu().numpy()
        ends = np.cumsum([len(sequences[index]) - 1 for index in batch])
        for index, part in zip(batch, np.split(nats, ends[:-1]), strict=True):
            out[index] = -part
    return out


def _batch_nats(loaded: Loaded, batch: list[Sequence[int]]) -> Tensor:
    """Padding stands on the right, where no counted token sees it."""
    tokens_BT = np.zeros((len(batch), max(map(len, batch))), np.int64)
    labels_BS = np.full((len(batch), tokens_BT.shape[1] - 1), IGNORED, np.int64)
    for row, sequence in enumerate(batch):
        tokens_BT[row, : len(sequence)] = sequence
        labels_BS[row, : len(sequence) - 1] = sequence[1:]
    device = loaded.module.device
    inputs_BS, labels = (torch.from_numpy(each).to(device) for each in (tokens_BT[:, :-1].copy(), labels_BS))
    nats: Tensor = loaded.module(inputs_BS, labels_BS=labels)
    return nats


def generate(
    loaded: Loaded,
    tokens: Sequence[int],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    stop_tokens: Collection[int] | None = None,
    top_logprobs: int = 0,
    never: Collection[int] = (),
) -> Generator[Drawn, None, None]:
    """New tokens after the given ones, one by one, until `max_tokens`, a stop token (which isn't given out) or the end
    of the context.

    Args:
        tokens: the prompt, at least one token; a document's start is BoD.
        temperature: 0 takes the likeliest token each time; else logits are divided by it.
        top_p: draw only from the smallest set of likeliest tokens whose probabilities reach it (Holtzman et al. 2020,
            arXiv 1904.09751).
        seed: of the draws; the same seed, prompt and settings give the same tokens.
        stop_tokens: None: the model's EoD.
        top_logprobs: how many of the likeliest tokens each step reports.
        never: tokens that are not to be drawn, such as `<pad>`.

    Raises:
        UsageError: an empty prompt, or one that leaves no room in the context.
    """
    context = loaded.shape.context
    if not 0 < len(tokens) < context:
        raise UsageError(f"the prompt has {len(tokens):,} tokens; this model takes 1 to {context - 1:,}.")
    stops = {loaded.specials["eod"]} if stop_tokens is None and "eod" in loaded.specials else set(stop_tokens or ())
    return _generate(
        loaded,
        tokens,
        min(max_tokens, context - len(tokens)),
        _Draw(temperature, top_p, seed, top_logprobs, never),
        stops,
    )


def _generate(
    loaded: Loaded, tokens: Sequence[int], count: int, draw: _Draw, stops: Collection[int]
) -> Generator[Drawn, None, None]:
    cache = Cache(loaded.shape.layers)
    unread = list(tokens)
    for _ in range(count):
        # entered anew each step: a generator must not leave inference mode on in its caller between two tokens
        with torch.inference_mode():
            logits_B1V = loaded.module(torch.tensor([unread], device=loaded.module.device), cache=cache, last_only=True)
            drawn = draw(logits_B1V[0, 0].float().cpu())
        if drawn.token in stops:
            return
        yield drawn
        unread = [drawn.token]


class _Draw:
    """One draw a call, from a stream of its own."""

    def __init__(self, temperature: float, top_p: float, seed: int, top: int, never: Collection[int]) -> None:
        self.temperature, self.top_p, self.top, self.never = temperature, top_p, top, sorted(never)
        self.random = np.random.Generator(np.random.Philox(seed))

    def __call__(self, logits_V: Tensor) -> Drawn:
        logprobs_V = logits_V.log_softmax(-1)
        if self.never:
            logits_V[self.never] = -torch.inf
        token = int(logits_V.argmax()) if self.temperature == 0 else self._sampled(logits_V / self.temperature)
        best = logprobs_V.topk(self.top)
        top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        return Drawn(token, float(logprobs_V[token]), top)

    def _sampled(self, logits_V: Tensor) -> int:
        shares, order = logits_V.double().softmax(-1).sort(descending=True, stable=True)
        reached = shares.cumsum(-1)
        inside = int((reached - shares < self.top_p).sum())  # the first is always inside
        point = self.random.random() * float(reached[inside - 1])
        return int(order[min(int(torch.searchsorted(reached, point, right=True)), inside - 1)])
