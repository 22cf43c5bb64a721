"""`Config`: what a step is asked to do. Frozen, typed, hashed. And the field types that reach outside it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import PydanticUndefined

from allmend.kinds.canonical import LARGEST_INTEGER
from allmend.kinds.errors import RecipeError, nearest
from allmend.kinds.outside import InputFile, InputFiles, InputURL, Outside, Secret, Withdrawals

__all__ = [
    "Config", "Count", "Date", "Field", "Head", "InputFile", "InputFiles", "InputURL", "Parts", "RecipeName", "Secret",
    "Seed", "Share", "Withdrawals", "canonical", "load_config", "parse_count",
]  # fmt: skip

_count = re.compile(r"(\d+(?:_\d+)*(?:\.\d+)?)\s*([kKMGBT]?)").fullmatch
_scale = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9, "T": 10**12}


class Config(BaseModel):
    """Base of every step's config and of every family member's settings: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)


class Head:
    """Marks a field whose value comes from the recipe's head, so that a step knows neither clock nor name by itself."""

    def __init__(self, name: str) -> None:
        self.name = name


def parse_count(value: Any) -> Any:
    """`600k` → 600000, `1.5B` → 1500000000; anything else goes on to the type check unchanged."""
    if isinstance(value, str) and (match := _count(value.strip())):
        digits, scale = match.groups()
        whole, _, fraction = digits.replace("_", "").partition(".")
        scaled = int(whole + fraction) * _scale[scale]
        if scaled % 10 ** len(fraction) == 0:
            return scaled // 10 ** len(fraction)
    return value


Count = Annotated[int, BeforeValidator(parse_count), Field(ge=0)]
"""A whole number of things; `600k`, `1M`, `2.5B` and `15T` are understood."""
Share = Annotated[float, Field(ge=0, le=1)]
"""A fraction between 0 and 1."""
Seed = Annotated[int, Field(ge=0, description="the recipe's seed"), Head("seed")]
"""The recipe's seed. Only steps with a field of this type have the seed in their key."""
Parts = Annotated[
    int, Field(ge=1, le=65536, description="number of parts, a power of two; the recipe's"), Head("parts")
]
"""Number of parts, a power of two, that a step first cuts its documents into."""
Date = Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="the recipe's date"), Head("date")]
"""The recipe's date, as reports show it."""
RecipeName = Annotated[str, Field(description="the recipe's name"), Head("recipe")]
"""The recipe's name, for steps that print it."""


def heads(cls: type[Config]) -> dict[str, str]:
    """Field name → head value that fills it, for fields of the types above."""
    return {
        name: marker.name
        for name, field in cls.model_fields.items()
        for marker in _markers(field)
        if isinstance(marker, Head)
    }


def _markers(field: Any) -> list[Any]:
    return [*field.metadata, *([Head("withdrawals")] if field.annotation is Withdrawals else [])]


def canonical(config: Config, leave_out: Sequence[str] = (), where: str = "") -> dict[str, Any]:
    """The fields that differ from their default, as plain JSON values; what enters a build key.

    Our own and not pydantic's `exclude_defaults`: a nested config is written with its class, so that a union of two
    configs whose fields are all default gives two keys, and a value equals a default only if the types are equal too.

    Raises:
        ValueError: an integer beyond ±2⁵³, NaN or infinity; names the field.
    """
    out: dict[str, Any] = {}
    for name, field in type(config).model_fields.items():
        if name in leave_out:
            continue
        value = getattr(config, name)
        if not field.is_required():
            default = field.get_default(call_default_factory=True, validated_data={})
            if default is not PydanticUndefined and _same(value, default):
                continue
        out[name] = _plain(value, f"{where}{name}")
    return out


def _same(a: Any, b: Any) -> bool:
    if type(a) is not type(b):
        return False
    if isinstance(a, Config):
        return all(_same(getattr(a, name), getattr(b, name)) for name in type(a).model_fields)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(_same(a[key], b[key]) for key in a)
    return bool(a == b)


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Config):
        return {"class": type(value).__name__, **canonical(value, where=f"{where}.")}
    if isinstance(value, Outside):
        return value.identity()
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, dict):
        return {str(key): _plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, int):
        if abs(value) > LARGEST_INTEGER:
            raise ValueError(f"{where}: the integer {value} is beyond ±2⁵³, which JSON can't hold exactly")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{where}: {value} can't be written as JSON")
        return value
    raise AssertionError(f"{where}: a config field of type {type(value).__name__} has no canonical form")


Locate = Callable[[Sequence[str | int]], str]


C = TypeVar("C", bound=Config)


def load_config(cls: type[C], data: Mapping[str, Any], locate: Locate, outside: Any = None) -> C:
    """Check a mapping of plain values (as YAML gives it) against a config class.

    Args:
        data: plain JSON values.
        locate: path of keys → `file:line  field` for messages.
        outside: resolves `InputFile`, `InputFiles`, `InputURL` and secrets; None reads paths as they are.

    Raises:
        RecipeError: the first thing wrong: its place, what was given, what is accepted, the nearest known name.
    """
    try:
        config = cls.model_validate_json(json.dumps(data), context={"outside": outside})
        canonical(config)
    except ValidationError as error:
        first = error.errors()[0]
        raise RecipeError(locate(_place(first["loc"], data)), _sentence(cls, dict(first))) from error
    except ValueError as error:
        field, _, message = str(error).partition(": ")
        raise RecipeError(locate(re.findall(r"[^.\[\]]+", field)), message) from error
    return config


def _place(location: Sequence[str | int], data: Any) -> list[str | int]:
    """The part of pydantic's location that exists in the data (it adds tags for unions and validators)."""
    place: list[str | int] = []
    for step in location:
        if (isinstance(data, Mapping) and step in data) or (
            isinstance(data, list) and isinstance(step, int) and step < len(data)
        ):
            data = data[step]  # type: ignore[index]
            place.append(step)
        elif step == location[-1]:
            place.append(step)
    return place


def _sentence(cls: type[Config], error: dict[str, Any]) -> str:
    kind, given, location = error["type"], error.get("input"), error["loc"]
    if kind == "extra_forbidden":
        known = _fields_at(cls, location[:-1])
        return f"unknown key `{location[-1]}`.{nearest(str(location[-1]), known)}"
    if kind == "missing":
        return f"the field `{location[-1]}` is required and isn't given."
    message = error["msg"].removeprefix("Value error, ")
    shown = json.dumps(given, ensure_ascii=False, default=str)
    return f"given {shown if len(shown) <= 80 else shown[:77] + '…'}: {message[:1].lower()}{message[1:]}."


def _fields_at(cls: type[Config], location: Sequence[str | int]) -> list[str]:
    for step in location:
        annotation = cls.model_fields[step].annotation if isinstance(step, str) and step in cls.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, Config):
            cls = annotation
    return list(cls.model_fields)


class Member(Config):
    """A member of a family (annotator, policy rule, mixture law …): settings, a source, and its smallest examples."""

    source: ClassVar[str]

    @classmethod
    def of(cls, data: Mapping[str, Any], locate: Locate) -> Self:
        return load_config(cls, data, locate)
