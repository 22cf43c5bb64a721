"""Bits that a model needs for a byte of held-out text, by language, beside general compressors."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from allmend.evaluate.items import Page, checked, read_pages
from allmend.evaluate.kinds import Kind, Outcome
from allmend.evaluate.statistics import interval
from allmend.kinds import BOD, Field
from allmend.kinds.errors import MissingExtraError


class BitsPerByte(Kind):
    """Minus the base-2 logarithm of the text's probability, divided by its UTF-8 bytes. Lower is better.

    A text is read in windows of the model's context. Each begins with BoD; a window after the first repeats half a
    window as context and scores the rest, so that each byte counts exactly once. A paragraph is the unit that the
    bootstrap resamples; for the mean over languages it is a language.
    """

    source: ClassVar[str] = "Gao et al. 2020, The Pile (arXiv 2101.00027), section 3.1"
    metric: ClassVar[str] = "bits_per_byte"

    languages: list[str] = Field(min_length=1, description="base languages, each of which has text in the file")
    compressors: list[Literal["gzip", "ppmd"]] = Field(
        ["gzip", "ppmd"], description="general compressors to print beside, given the same text alone"
    )

    def forward_tokens(self) -> int:
        """1,500 bytes a language, at two bytes a token, read one and a half times."""
        return 1125 * len(self.languages)

    def run(self, loaded: Any, file: Path, rng: np.random.Generator) -> Outcome:
        """Score each language, then their mean."""
        pages = read_pages(file, self.languages)
        out = Outcome()
        means: dict[str, list[float]] = {name: [] for name in (self.metric, *self.compressors)}
        for language, several in pages.items():
            scored = [paragraph for page in several if page.text for paragraph in page_bits(loaded, page)]
            bits, sizes = (np.array([row[name] for row in scored], float) for name in ("bits", "bytes"))
            low, high = interval(bits, sizes, np.arange(len(bits)), rng)
            out.rows.append(_row(self.metric, language, bits.sum() / sizes.sum(), low, high, len(bits)))
            means[self.metric].append(bits.sum() / sizes.sum())
            out.samples += [{"language": language, **row} for row in scored]
            text = "".join(page.text for page in several).encode()
            for name in self.compressors:
                value = compressed_bits(name, text) / len(text)
                out.rows.append(_row(name, language, value, None, None, len(bits)))
                means[name].append(value)
        for name, values in means.items():
            found = np.array(values)
            low, high = interval(found, np.ones(len(found)), np.arange(len(found)), rng)
            out.rows.append(_row(name, None, found.mean(), low, high, len(found)))
        return out


def _row(
    metric: str, language: str | None, value: float, low: float | None, high: float | None, n: int
) -> dict[str, Any]:
    return {
        "language": language, "metric": metric, "value": float(value), "low": low, "high": high, "n": n, "unit": "bits a byte",
        "baseline": 8.0, "higher_is_better": False,
    }  # fmt: skip


def windows(tokens: list[int], context: int) -> list[tuple[list[int], int]]:
    """Windows of a text's tokens: (BoD and tokens, how many of the tokens at the end are scored).

    Args:
        context: longest window, BoD included.
    """
    room = context - 1
    found = [([BOD, *tokens[:room]], min(room, len(tokens)))]
    start = room
    step = room - room // 2
    while start < len(tokens):
        end = min(start + step, len(tokens))
        found.append(([BOD, *tokens[end - min(room, room // 2 + end - start) : end]], end - start))
        start = end
    return found


def page_bits(loaded: Any, page: Page) -> list[dict[str, Any]]:
    """Bits and bytes of each paragraph of a page; a paragraph's line break is its own."""
    from allmend.model import log_probabilities

    encoded = loaded.tokenizer.encode(page.text, add_special_tokens=False)
    cut = windows(encoded.ids, loaded.shape.context)
    nats = checked(log_probabilities(loaded, [window for window, _ in cut]), [f"the page {page.code}"] * len(cut))
    logs_T = np.concatenate([part[len(part) - scored :] for part, (_, scored) in zip(nats, cut, strict=True)])
    assert len(logs_T) == len(encoded.ids), (len(logs_T), len(encoded.ids))
    paragraphs = page.text.splitlines(keepends=True)
    ends = np.cumsum([len(paragraph) for paragraph in paragraphs])
    starts_T = np.array([start for start, _ in encoded.offsets])
    of_T = np.minimum(np.searchsorted(ends, starts_T, side="right"), len(paragraphs) - 1)
    bits = np.bincount(of_T, -logs_T.astype(np.float64), minlength=len(paragraphs)) / math.log(2)
    return [
        {"page": page.code, "paragraph": index, "bits": float(bits[index]), "bytes": len(paragraph.encode())}
        for index, paragraph in enumerate(paragraphs)
    ]


def compressed_bits(name: str, text: bytes) -> int:
    """Bits of a text after a general compressor, without any container's header.

    Raises:
        MissingExtraError: PPMd's package isn't installed.
    """
    if name == "gzip":
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        return 8 * len(deflate.compress(text) + deflate.flush())
    try:
        import pyppmd
    except ImportError as error:
        raise MissingExtraError.of("pyppmd", "evaluate") from error
    encoder = pyppmd.Ppmd7Encoder(6, 16 << 20)  # order 6 and 16 MB, 7-Zip's default
    return 8 * len(encoder.encode(text) + encoder.flush())
