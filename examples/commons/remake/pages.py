"""The text and markup of one planted page."""

from __future__ import annotations

import gzip
import hashlib
import html
from functools import cache
from pathlib import Path

import yaml

PLANTED = Path(__file__).parent.parent / "planted"
CC0 = "https://creativecommons.org/publicdomain/zero/1.0/"
SENTENCES_A_PAGE = 7
SENTENCES_A_PARAGRAPH = 4
EXTRA_FROM = 40  # extra sentences come from beyond those that the longest page of a group begins with
BULK_LINES = (
    "<!-- row {n:06d}: the menu of the old site, kept for the archive and never shown to anyone -->\n",
    "<style>.row-{n:06d} {{ margin: {a}px {b}px; color: #{a:02x}{b:02x}40 }}</style>\n",
    '<script>window.rows = window.rows || []; window.rows.push(["row-{n:06d}", {a}, {b}]);</script>\n',
)
PAGE = """<!doctype html>
<html lang="{language}">
  <head>
    <title>{title}</title>
{head}  </head>
  <body>
{body_start}    <main>
      <h1>{title}</h1>
{paragraphs}    </main>
{body_end}  </body>
</html>
"""


@cache
def _bank() -> dict[str, list[str]]:
    return yaml.safe_load((PLANTED / "sentences.yaml").read_text(encoding="utf-8"))


def _number(*seed: object) -> int:
    return int.from_bytes(hashlib.sha256(" ".join(map(str, seed)).encode()).digest()[:8], "big")


def filler(seed: str, first: int, last: int) -> list[str]:
    """Sentences number `first` to `last` of the bank in this seed's order, with its places, people and months."""
    bank = _bank()
    order = sorted(range(len(bank["sentences"])), key=lambda index: _number(seed, index))
    assert last <= len(order), (seed, last)
    return [_filled(bank["sentences"][index], seed, index) for index in order[first:last]]


def _filled(sentence: str, seed: str, index: int) -> str:
    bank = _bank()
    slots = {"place": "places", "person": "people", "month": "months"}
    words = {slot: bank[key][_number(seed, index, slot) % len(bank[key])] for slot, key in slots.items()}
    filled = sentence.format(**words)
    return filled[0].upper() + filled[1:]


def paragraphs(plant: dict[str, object]) -> list[str]:
    """The paragraphs of a plant: its own `text`, then filler from the sentence bank."""
    if "paragraphs_repeated" in plant:
        line, times = plant["paragraphs_repeated"]
        return [line] * times
    seed = plant.get("text_of", plant["case"])
    sentences = filler(seed, 0, plant.get("sentences", SENTENCES_A_PAGE))
    extra = plant.get("extra_sentences", 0)
    sentences += filler(seed, EXTRA_FROM, EXTRA_FROM + extra)
    size = SENTENCES_A_PARAGRAPH
    if "every_sentence_starts" in plant:
        sentences, size = [plant["every_sentence_starts"] + sentence for sentence in sentences], 1
    found = [plant["text"].strip()] if "text" in plant else []
    found += [" ".join(sentences[start : start + size]) for start in range(0, len(sentences), size)]
    for old, new in plant.get("replace", {}).items():
        place = next((number for number, text in enumerate(found) if old in text), None)
        assert place is not None, (plant["case"], old)
        found[place] = found[place].replace(old, new, 1)
    return [text.replace(" ", "  ") for text in found] if plant.get("wide_spaces") else found


def markup(plant: dict[str, object]) -> str:
    """The whole HTML page of a plant."""
    texts = paragraphs(plant)
    seed = plant.get("text_of", plant["case"])
    head = ""
    if plant.get("licence", CC0) is not None:
        head += f'    <link rel="license" href="{plant.get("licence", CC0)}">\n'
    if "head" in plant:
        head += f"    {plant['head']}\n"
    title = _filled("News from {place} in {month}", seed, -1) if texts else ""
    return PAGE.format(
        language=plant.get("language", "en"),
        title=title,
        head=head + _bulk(plant.get("bulk_bytes", 0)),
        body_start=_line(plant.get("body_start")),
        paragraphs="".join(f"      <p>{html.escape(text, quote=False)}</p>\n" for text in texts),
        body_end=_line(plant.get("body_end")),
    )


def body(plant: dict[str, object]) -> bytes:
    """The bytes that the server sends."""
    if plant.get("empty"):
        return b""
    data = markup(plant).encode(plant.get("encoding", "utf-8"))
    if "content_encoding" not in plant:
        return data
    packed = gzip.compress(data, mtime=0)
    packed = packed[:9] + b"\xff" + packed[10:]  # the platform byte differs between versions of Python
    if plant["content_encoding"] == "gzip":
        return packed
    return packed[:12] + bytes(byte ^ 0xFF for byte in packed[12:76]) + packed[76:]


def _line(text: object) -> str:
    return f"    {text}\n" if text else ""


def _bulk(size: int) -> str:
    lines, length, number = [], 0, 0
    while length < size:
        line = BULK_LINES[number % len(BULK_LINES)].format(n=number // 60, a=number % 7, b=number % 31)
        lines.append(line)
        length += len(line)
        number += 1
    return "".join(lines)
