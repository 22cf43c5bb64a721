"""What a pretraining run is asked to do."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import ValidationInfo, field_validator

from allmend.kinds import Config, Count, Field, Seed, Share
from allmend.kinds.errors import UsageError, nearest
from allmend.model import FAMILIES, shape_of
from allmend.train.schedules import Schedule
from allmend.train.schedules.wsd import Wsd


class Goldfish(Config):
    """Drop one label in k from the loss, the same ones wherever a passage stands: none can be learnt by heart.

    Source:
        Hans et al. 2024, Be like a Goldfish, Don't Memorize! (arXiv 2406.10209); k = h = 50 as in Apertus (arXiv
        2509.14233).
    """

    k: int = Field(50, ge=2, description="one label in so many is dropped")
    h: int = Field(50, ge=1, description="tokens, the label included, whose hash decides")
    hash: Literal["robust", "compat"] = Field(
        "robust", description="`compat` is the original's hash, which depends on how documents are packed"
    )


class PretrainConfig(Config):
    """A model of a family and size, trained from fresh weights on shards by a mixture."""

    family: str = Field(description="model family: apertus, llama")
    preset: str = Field(description="size in the family: tiny, small, proxy, or a released one")
    tokens: Annotated[Count, Field(gt=0)] = Field(description="input tokens to read, rounded up to whole steps")
    context: int = Field(128, ge=2, description="tokens of a sample")
    batch: int = Field(8, ge=1, description="samples of a step")
    micro_batch: int | None = Field(
        None,
        ge=1,
        description="samples that go through the model at once; divides `batch`; None: all of a process's samples",
    )
    lr: float = Field(5e-3, gt=0, description="peak learning rate")
    schedule: Schedule = Field(Wsd(), description="how the learning rate runs: wsd, cosine")
    warmup_share: Share = Field(0.02, description="fraction of the steps in which the rate rises to its peak, linearly")
    betas: tuple[float, float] = Field((0.9, 0.95), description="AdamW's decay of the first and second moment")
    epsilon: float = Field(1e-8, gt=0, description="AdamW's ε")
    weight_decay: float = Field(0.1, ge=0, description="AdamW's decay of matrices; vectors and scalars have none")
    clip: float | None = Field(1.0, gt=0, description="largest norm of the gradient; None: not clipped")
    goldfish: Goldfish | None = Field(None, description="Goldfish loss; None: every label counts")
    checkpoint_every: int = Field(100, ge=1, description="steps from one checkpoint to the next")
    threads: int = Field(1, ge=1, description="CPU threads of a process; another number may give other bits")
    exact_ranks: bool = Field(
        False,
        description="sum gradients in the order of micro-batches: any number of ranks gives the same bits",
    )
    seed: Seed

    @field_validator("family")
    @classmethod
    def _known_family(cls, value: str) -> str:
        if value not in FAMILIES:
            raise ValueError(f"the model family `{value}` is not known.{nearest(value, FAMILIES)}")
        return value

    @field_validator("preset")
    @classmethod
    def _known_preset(cls, value: str, info: ValidationInfo) -> str:
        if "family" in info.data:
            try:
                shape_of(info.data["family"], value)
            except UsageError as error:
                raise ValueError(str(error)) from error
        return value

    @field_validator("micro_batch")
    @classmethod
    def _divides_batch(cls, value: int | None, info: ValidationInfo) -> int | None:
        batch = info.data.get("batch")
        if value is not None and batch is not None and batch % value:
            raise ValueError(f"a micro-batch of {value} samples doesn't divide the batch of {batch}")
        return value

    @property
    def steps(self) -> int:
        return math.ceil(self.tokens / (self.context * self.batch))

    def rate(self, step: int, steps: int) -> float:
        """Learning rate of a step (from 0) in a run of so many."""
        warmup = self.warmup_share * steps
        rising = min(1.0, (step + 1) / warmup) if warmup > 0 else 1.0
        schedule: Any = self.schedule
        return self.lr * rising * float(schedule.factor(step, steps))
