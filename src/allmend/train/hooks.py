"""What `flow` asks of `train.pretrain` besides running it: its cost, its shrunk form, what documents touch."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from allmend.kinds import RUN, Artifact, Estimate, Shards, Shrink, Touched
from allmend.model import count_parameters, shape_of
from allmend.train.config import PretrainConfig
from allmend.train.past import milestones
from allmend.train.pretrain import KEPT
from allmend.train.record import Record

FLOPS_A_S = 5e10
"""Of one CPU thread in fp32 on a model of 1 M parameters (`bench/train.py`, November 2026): an order of magnitude."""
STATE_BYTES = 16
"""Of one parameter in fp32: weight, gradient, AdamW's two moments."""
CHECKPOINT_BYTES = 12
LARGEST_CONTEXT, FEWEST_STEPS = 256, 8
PROXIES = ("tiny", "small", "proxy")
"""Presets that every family has, ascending."""


def cost(config: PretrainConfig, inputs: dict[str, Any]) -> Estimate:
    """Closed forms; the vocabulary is the preset's own, since the shards aren't there yet.

    FLOPs are 6 · N · D with N all parameters that a token passes through and D the tokens (Kaplan et al. 2020, arXiv
    2001.08361). Memory is weights, gradients and moments, plus activations of a micro-batch: 34 values of a token and
    layer's width (Korthikanti et al. 2022, arXiv 2205.05198, without attention scores), and its logits.
    """
    shape = shape_of(config.family, config.preset, None, config.context)
    counts = count_parameters(shape)
    tokens = config.steps * config.batch * config.context
    flops = 6.0 * counts["active"] * tokens
    held = (config.micro_batch or config.batch) * config.context
    activations = 4 * held * (34 * shape.layers * shape.width + 2 * shape.vocab)
    kept = len(milestones(config.steps)) + KEPT
    return Estimate(
        tokens=tokens, flops=flops, memory_bytes=STATE_BYTES * counts["total"] + activations,
        disk_bytes=(4 + CHECKPOINT_BYTES * kept) * counts["total"], seconds=flops / (FLOPS_A_S * config.threads),
        parameters=counts,
    )  # fmt: skip


def shrink(config: PretrainConfig, asked: Shrink) -> PretrainConfig:
    """The same run as a proxy: same family, schedule and optimiser timescale τ = B / (η·λ·D), B and D in tokens.

    The batch shrinks with the tokens, which keeps the number of steps and τ as they are; where it can't (less than one
    sample, or fewer than eight steps), the weight decay λ takes up the difference and η stays.

    Source:
        τ as in Wang and Aitchison 2024 (arXiv 2405.13698); Bergsma et al. 2025 (arXiv 2505.13738).
    """
    own = count_parameters(shape_of(config.family, config.preset))["non_embedding"]
    preset, size = _preset(config.family, asked.parameters)
    tokens = asked.tokens if asked.tokens is not None else round(config.tokens * size / own)
    context = min(config.context, LARGEST_CONTEXT)
    tokens = max(tokens, FEWEST_STEPS * context)
    full_batch = config.batch * config.context
    wanted = full_batch * tokens / config.tokens / context
    batch = max(1, min(round(wanted), tokens // (FEWEST_STEPS * context)))
    decay = config.weight_decay * (batch * context / full_batch) * (config.tokens / tokens)
    micro = config.micro_batch if config.micro_batch and batch % config.micro_batch == 0 else None
    return config.model_copy(update={
        "preset": preset, "tokens": tokens, "context": context, "batch": batch, "micro_batch": micro,
        "weight_decay": decay,
    })  # fmt: skip


def _preset(family: str, parameters: int) -> tuple[str, int]:
    """The largest of a family's proxies with at most so many non-embedding parameters (else the smallest); its size."""
    sizes = {name: count_parameters(shape_of(family, name))["non_embedding"] for name in PROXIES}
    fitting = [name for name in PROXIES if sizes[name] <= parameters] or [PROXIES[0]]
    return fitting[-1], sizes[fitting[-1]]


def touches(model: Artifact, documents: Collection[str], inputs: Mapping[str, Any]) -> Touched:
    """What a model took from documents: the first step that was fed one, the newest checkpoint that had seen none.

    Its order says which windows were read when, its shards say where the documents lie: without them nothing can be said.
    """
    shards = inputs.get("shards")
    if not isinstance(shards, Shards):
        return Touched()
    found = Record.of_model(model, shards, inputs.get("probes")).first_seen(documents)
    first = min((step for _, step in found.values()), default=None)
    by_domain: dict[str, tuple[int, int, int]] = {}
    for place, _ in found.values():
        count, size, tokens = by_domain.get(place.domain, (0, 0, 0))
        by_domain[place.domain] = count + 1, size, tokens + place.length
    folder = model.folder / RUN / "checkpoints"
    kept = sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []
    clean = [steps for steps in kept if first is None or steps <= first]
    return Touched(
        documents=len(found),
        tokens=sum(place.length for place, _ in found.values()),
        first_step=first,
        restart=clean[-1] if clean else None,
        by_domain=dict(sorted(by_domain.items())),
    )
