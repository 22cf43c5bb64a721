"""Which labels of a batch count in the loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from allmend.kinds import Shards, load_tokenizer
from allmend.model import IGNORED, drops_compat, drops_robust, normal_ids
from allmend.train.config import Goldfish
from allmend.train.loader import Batch


@dataclass(frozen=True)
class Objective:
    """Next-token loss, on all labels that documents have or on those that Goldfish leaves.

    Attributes:
        normal_ids: id → id of its normal form, for the robust hash.
    """

    goldfish: Goldfish | None = None
    normal_ids: np.ndarray | None = None

    @classmethod
    def of(cls, goldfish: Goldfish | None, shards: Shards) -> Objective:
        if goldfish is None or goldfish.hash != "robust":
            return cls(goldfish)
        return cls(goldfish, normal_ids(load_tokenizer(shards.path("tokenizer"))))

    @property
    def look_back(self) -> int:
        """Tokens before a window that decide about its labels: the hash belongs to the document, not to the window."""
        return self.goldfish.h - 1 if self.goldfish is not None and self.goldfish.hash == "robust" else 0

    def labels(self, batch: Batch) -> np.ndarray:
        """Labels of a batch, the ignored value where none counts: int64 [B, S]."""
        if self.goldfish is None:
            return batch.labels
        k, h = self.goldfish.k, self.goldfish.h
        if self.goldfish.hash == "compat":
            dropped = drops_compat(batch.rows[:, batch.look_back + 1 :], k, h)
        else:
            dropped = drops_robust(batch.rows, batch.look_back, k, h, self.normal_ids)
        return np.where(dropped, IGNORED, batch.labels)
