"""The shape of a model: sizes and no weights. Counting parameters needs neither torch nor memory."""

from __future__ import annotations

import importlib
import math
from typing import Literal

from allmend.kinds import Config, Field
from allmend.kinds.errors import UsageError, nearest

FAMILIES = {
    "apertus": "Apertus 8B and 70B: one up projection with xIELU, RMSNorm on queries and keys",
    "llama": "Llama 3.1 and EuroLLM: gated SiLU",
}
"""Family → what tells it apart. A member is one file `families/<name>.py` that holds `FAMILY`, and one line here."""


class RopeScaling(Config):
    """How Llama 3.1 stretches rotary frequencies for longer contexts (arXiv 2407.21783 and its published code)."""

    factor: float = Field(gt=1, description="wavelengths beyond the original context become so many times longer")
    original_context: int = Field(gt=0, description="context of pretraining, tokens")
    low_frequency_factor: float = Field(1.0, description="wavelengths > original_context / this are stretched in full")
    high_frequency_factor: float = Field(4.0, description="wavelengths < original_context / this stay as they are")


class Shape(Config):
    """All that decides a decoder's parameters and what it computes, save the weights themselves."""

    family: str = Field(description="name in FAMILIES")
    layers: int = Field(gt=0, description="blocks of attention and feed-forward")
    width: int = Field(gt=0, description="size of a token's state (d, hidden_size)")
    ffn: int = Field(gt=0, description="inner width of the feed-forward part (intermediate_size)")
    heads: int = Field(gt=0, description="query heads")
    kv_heads: int = Field(gt=0, description="key and value heads; divides heads")
    head_width: int = Field(gt=0, multiple_of=2, description="size of one head's query")
    vocab: int = Field(gt=0, description="rows of the embedding")
    context: int = Field(gt=0, description="longest sequence it is made for, tokens")
    rope_theta: float = Field(gt=0, description="base of the rotary frequencies")
    rope_scaling: RopeScaling | None = Field(None, description="how frequencies are stretched for long contexts")
    norm_epsilon: float = Field(1e-5, gt=0, description="added to the mean square in RMSNorm")
    tied: bool = Field(False, description="input embedding and output head are one matrix")


class Preset(Config):
    """A member of a family at one size. Vocabulary and context are its own unless a recipe gives others."""

    shape: Shape = Field(description="its sizes")
    published: int | None = Field(
        None, description="number of parameters that its makers state; None for sizes of ours"
    )
    source: str = Field(description="where the sizes come from")


class Family(Config):
    """What tells one family of pre-norm decoders from another."""

    model_type: str = Field(description="`model_type` in config.json")
    architecture: str = Field(description="class in transformers")
    feed_forward: Literal["xielu", "gated_silu"] = Field(description="kind of feed-forward part")
    qk_norm: bool = Field(description="RMSNorm on each head's query and key before the rotation")
    norms: tuple[str, str] = Field(description="names of a layer's norms: before attention, before feed-forward")
    source: str = Field(description="where the architecture is described")
    presets: dict[str, Preset] = Field(description="its members by name")


def family_of(name: str) -> Family:
    """The table of one family.

    Raises:
        UsageError: not known; names the nearest.
    """
    if name not in FAMILIES:
        raise UsageError(f"the model family `{name}` is not known.{nearest(name, FAMILIES)}")
    family: Family = importlib.import_module(f"allmend.model.families.{name}").FAMILY
    return family


def shape_of(family: str, preset: str, vocab: int | None = None, context: int | None = None) -> Shape:
    """The shape of a preset, with another vocabulary or context if given.

    Raises:
        UsageError: no such family or preset; names the nearest.
    """
    presets = family_of(family).presets
    if preset not in presets:
        raise UsageError(f"the model family `{family}` has no preset `{preset}`.{nearest(preset, presets)}")
    other = {"vocab": vocab, "context": context}
    return presets[preset].shape.model_copy(update={name: value for name, value in other.items() if value is not None})


def initial_std(shape: Shape) -> float:
    """Standard deviation of every matrix at the start: √(2 / (5 width)).

    At the width of released models that is near the usual .02 (.0099 at 4,096); at 128 it is .056, which gave 2.49 bits
    a byte on held-out text after 600 k tokens of 24 languages where .02 gave 2.55 (seed spread about .01).

    Source:
        Nguyen and Salazar 2019, Transformers without tears (arXiv 1910.05895), "SmallInit".
    """
    return math.sqrt(2 / (5 * shape.width))


def count_parameters(shape: Shape) -> dict[str, int]:
    """Number of parameters in closed form.

    Returns:
        `total`; `active`: those that a token passes through (all of them here; fewer in mixtures of experts);
        `non_embedding`: the total without input embedding and output head, as Kaplan et al. 2020 (arXiv 2001.08361)
        count N.
    """
    family = family_of(shape.family)
    attention = 2 * shape.width * shape.head_width * (shape.heads + shape.kv_heads)
    matrices = {"xielu": 2, "gated_silu": 3}[family.feed_forward]
    scalars = 2 if family.feed_forward == "xielu" else 0
    norms = 2 * shape.width + (2 * shape.head_width if family.qk_norm else 0)
    layer = attention + matrices * shape.width * shape.ffn + scalars + norms
    non_embedding = shape.layers * layer + shape.width
    total = non_embedding + shape.vocab * shape.width * (1 if shape.tied else 2)
    return {"total": total, "active": total, "non_embedding": non_embedding}
