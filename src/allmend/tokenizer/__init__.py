"""Trains, measures and gates tokenizers."""

from allmend.kinds import Step
from allmend.tokenizer import train
from allmend.tokenizer.fertility import gini

STEPS: dict[str, Step] = {
    "train": Step(train.train, version=1, cost=train.cost, shrink=train.shrink, pinned=True),
}

__all__ = ["STEPS", "gini"]
