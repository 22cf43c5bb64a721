"""YAML 1.2 as recipes need it: core schema, one document, no aliases, no tags, no duplicate keys, a line for every value.

PyYAML's own loaders read YAML 1.1, where `no` is false (Norwegian is a language here), `3e-4` is text, `010` is 8 and `12:30` is 750.
So only its parser is used, and values are made here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from allmend.kinds.errors import RecipeError

LARGEST_BYTES = 16 * 2**20
DEEPEST = 64
_parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_null = {"", "~", "null", "Null", "NULL"}
_bools = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_integer = re.compile(r"[-+]?[0-9]+").fullmatch
_octal = re.compile(r"0o[0-7]+").fullmatch
_hexadecimal = re.compile(r"0x[0-9a-fA-F]+").fullmatch
_float = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?").fullmatch
_infinite = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)").fullmatch

Place = tuple[str | int, ...]


@dataclass
class Located:
    """Plain values of one YAML file, and on which line each stands."""

    file: str
    value: Any = None
    lines: dict[Place, int] = field(default_factory=dict)

    def locate(self, place: Sequence[str | int]) -> str:
        """`file:line  a.b.c` of the value at a path of keys (or of the nearest one above it)."""
        path = tuple(place)
        while path and path not in self.lines:
            path = path[:-1]
        dotted = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in place).lstrip(".")
        return f"{self.file}:{self.lines.get(path, 1)}" + (f"  {dotted}" if dotted else "")


def read_yaml(path: Path, shown: str = "") -> Located:
    """Read a YAML file.

    Args:
        shown: the file's name in messages.

    Raises:
        RecipeError: not readable, not YAML, or YAML with aliases, tags, duplicate keys, NaN; names the line.
    """
    shown = shown or str(path)
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise RecipeError(shown, f"the file has more than {LARGEST_BYTES >> 20} MB, which no recipe needs")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise RecipeError(shown, f"can't be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise RecipeError(
            shown, f"isn't UTF-8 text: byte {error.start} is 0x{error.object[error.start]:02x}."
        ) from error
    return parse_yaml(text, shown)


def parse_yaml(text: str, shown: str) -> Located:
    """The same from text."""
    located = Located(shown)
    try:
        _Builder(located, text).build()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        raise RecipeError(f"{shown}:{line}", f"isn't YAML: {getattr(error, 'problem', None) or error}.") from error
    return located


class _Builder:
    def __init__(self, located: Located, text: str) -> None:
        self.located = located
        self.loader = _parser(text)

    def build(self) -> None:
        try:
            self._expect(yaml.StreamStartEvent)
            if isinstance(self._next(), yaml.StreamEndEvent):
                return
            self.located.value = self._value((), self._next())
            self._expect(yaml.DocumentEndEvent)
            event = self._next()
            if not isinstance(event, yaml.StreamEndEvent):
                self._refuse((), event, "a second document (`---`) starts here; a file holds one")
        finally:
            self.loader.dispose()

    def _next(self) -> Any:
        return self.loader.get_event()

    def _expect(self, kind: type) -> None:
        event = self._next()
        assert isinstance(event, kind), event

    def _refuse(self, place: Place, event: Any, message: str) -> None:
        self.located.lines[place] = event.start_mark.line + 1
        raise RecipeError(self.located.locate(place), message)

    def _value(self, place: Place, event: Any) -> Any:
        self.located.lines[place] = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            self._refuse(
                place,
                event,
                f"anchors and aliases (`{event.anchor}`) aren't used in recipes: write the value out, or use `lists:`.",
            )
        if event.tag and event.tag != "!":
            self._refuse(place, event, f"the tag {event.tag} isn't used in recipes.")
        if len(place) > DEEPEST:
            self._refuse(place, event, f"nested deeper than {DEEPEST} levels.")
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(place, event)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(place)
        return self._mapping(place)

    def _sequence(self, place: Place) -> list[Any]:
        out: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            out.append(self._value((*place, len(out)), event))
        return out

    def _mapping(self, place: Place) -> dict[str, Any]:
        out: dict[str, Any] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self._refuse(place, event, "a key must be plain text.")
            key = event.value
            if key in out:
                first = self.located.lines[(*place, key)]
                self._refuse(
                    (*place, key), event, f"the key `{key}` stands here a second time (first on line {first})."
                )
            line = event.start_mark.line + 1
            out[key] = None  # claimed before the value is read, so that a duplicate inside can't hide
            out[key] = self._value((*place, key), self._next())
            self.located.lines[(*place, key)] = line
        return out

    def _scalar(self, place: Place, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0]:  # quoted
            return text
        if text in _null:
            return None
        if text in _bools:
            return _bools[text]
        try:
            if _integer(text):
                return int(text)
            if _octal(text) or _hexadecimal(text):
                return int(text, 0)
        except ValueError:
            self._refuse(place, event, f"the integer of {len(text)} digits is too long.")
        if _infinite(text) or (_float(text) and math.isinf(float(text))):
            self._refuse(place, event, f"given {text}: a number must be finite.")
        return float(text) if _float(text) else text
