"""Artifacts from the tokenizer to the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

from allmend.kinds.artifact import Artifact
from allmend.kinds.errors import DamagedError, MissingExtraError


class _Summary(Artifact):
    """A kind whose `summary.json` holds the few numbers to show."""

    summary: ClassVar[str] = "summary.json"

    def describe(self) -> dict[str, Any]:
        path = self.folder / self.summary
        if not path.is_file():
            return super().describe()
        found = json.loads(path.read_bytes())
        return {name: value for name, value in found.items() if isinstance(value, str | int | float | bool)}


SPECIAL_TOKENS = (
    "<pad>", "<bod>", "<eod>", "<withdrawn>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>",
)  # fmt: skip
"""Ids 0–7 of every tokenizer made here. No text can forge one: text is encoded with `encode_special_tokens`."""
PAD, BOD, EOD, WITHDRAWN = range(4)
MARKERS = ("<email-pii>", "<ip-pii>", "<iban-pii>", "<phone-pii>", "<card-pii>")
"""Ids 8–12: what redaction leaves of personal data. Not special, so that redacted text has one token for each."""


class Tokenizer(_Summary):
    """`tokenizer.json` and `tokenizer_config.json` as Hugging Face reads them."""

    def load(self, part: str = "", table: str = "") -> Any:
        """The tokenizer as a `tokenizers.Tokenizer` that treats special tokens in text as text."""
        return load_tokenizer(self.folder)


def load_tokenizer(folder: Path) -> Any:
    """`tokenizer.json` of a folder. `encode_special_tokens` isn't kept in the file, so it is set at every load.

    Raises:
        MissingExtraError: the package `tokenizers` isn't installed.
        DamagedError: there is no tokenizer in the folder, or it can't be read.
    """
    try:
        from tokenizers import Tokenizer as Fast
    except ImportError as error:
        raise MissingExtraError.of("tokenizers", "train") from error
    try:
        tokenizer = Fast.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises plain Exception
        raise DamagedError(f"{folder / 'tokenizer.json'}: this tokenizer can't be read ({error}).") from error
    tokenizer.encode_special_tokens = True
    return tokenizer


class Mixture(Artifact):
    """`mixture.json`: domain weights, caps, and the runs and fit behind them."""

    def weights(self) -> dict[str, float]:
        """Domain → share of samples, summing to 1; domains in sorted order."""
        found: dict[str, float] = self.json("mixture.json")["weights"]
        return dict(sorted(found.items()))

    def describe(self) -> dict[str, Any]:
        return {"domains": len(self.weights())}


class Mixtures(Artifact):
    """A set of mixtures, one in each folder `0000/`, `0001/`, …"""

    set_of = Mixture

    def describe(self) -> dict[str, Any]:
        return {"mixtures": len(self.members())}


class Fit(_Summary):
    """A fitted mixture law (`fit.json`) with the runs it was fitted on."""


class Model(_Summary):
    """A Hugging Face model directory, with `metrics.parquet` (one row a step) and `order.json` (the data order)."""


class Evaluation(_Summary):
    """Every-Eval-Ever JSON, samples as JSONL, and an lm-eval-shaped copy."""


class Index(_Summary):
    """What a search over training text needs: suffix arrays, vectors, filters; memory-mapped."""


class Probes(_Summary):
    """Planted passages with their number of repeats (`probes.parquet`)."""


class Findings(_Summary):
    """An audit's result: `summary.json` and Parquet rows."""


class Report(_Summary):
    """A static site, the machine-readable documents it shows, `claims.json` and `evidence/`."""


class Release(_Summary):
    """A TUF repository of other artifacts by digest."""


class Leaderboard(_Summary):
    """Ranked results of several models, as files and as a site."""


class Classifier(_Summary):
    """A trained text classifier with how its labels were made."""


class Chats(_Summary):
    """Conversations as JSONL, for post-training."""


class Adapter(_Summary):
    """Weights to lay over a model (LoRA, a modality projector)."""
