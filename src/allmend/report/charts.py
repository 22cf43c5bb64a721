"""Charts as inline SVG: bars, dots with intervals, lines. The tables beside them print the numbers.

Places across are in percent and places down in pixels, so that a chart fits a phone and a desk while its text keeps its
size. Axis ticks and the names of rows are class `tick`; there is no other text. Colours are classes of the page's
palette (`a`, `b`, `c`, `d`), so that light, dark and print follow the page.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

ROW = 22
AXIS = 20
NAMES, RIGHT = 27.0, 97.0
"""Percent: where the names of rows end, and where the plot does."""
LONGEST_NAME = 13
CLOSEST_TICKS = 9.0
"""Percent: of two ticks nearer than this, the second isn't printed."""

Legend = Sequence[tuple[str, Any]]
"""(class, what it stands for)."""


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart: a name, and lengths that are laid end to end, each with its class."""

    name: Any
    parts: Sequence[tuple[float, str]]


@dataclass(frozen=True)
class Dots:
    """One row of a dot chart: a name, a value with its interval, and further points, each with its class."""

    name: Any
    value: float
    low: float
    high: float
    others: Sequence[tuple[float, str]] = ()


@dataclass(frozen=True)
class Line:
    """One line of a line chart, with an interval around each point if it has any."""

    name: str
    points: Sequence[tuple[float, float]]
    css: str = "a"
    intervals: Sequence[tuple[float, float, float]] = ()
    """(x, low, high)."""


def bars(rows: Sequence[Bar], title: str, legend: Legend = ()) -> Markup:
    """Horizontal bars from zero, one row a name."""
    lengths = [sum(length for length, _ in row.parts if length > 0) for row in rows]
    if not any(lengths):
        return Markup("")
    scale = Scale(0.0, max(lengths), NAMES, RIGHT)
    out = _rows_axis(scale, rows)
    for index, row in enumerate(rows):
        start = 0.0
        for length, css in row.parts:
            if length > 0:
                out.append(_bar(scale(start), scale(start + length), index * ROW + 4, css))
                start += length
    return _figure(out, ROW * len(rows) + AXIS, title, legend)


def dots(rows: Sequence[Dots], title: str, legend: Legend = ()) -> Markup:
    """Values with intervals on one axis, one row a name."""
    every = [value for row in rows for value in (row.low, row.high, row.value, *(other for other, _ in row.others))]
    scale = Scale.over(every, NAMES + 2, RIGHT - 1)
    if scale is None:
        return Markup("")
    out = _rows_axis(scale, rows)
    for index, row in enumerate(rows):
        y = index * ROW + ROW / 2
        if _finite(row.low, row.high):
            out.append(_line(scale(row.low), y, scale(row.high), y, "interval"))
        out += [_diamond(scale(value), y, css) for value, css in row.others if _finite(value)]
        if _finite(row.value):
            out.append(_dot(scale(row.value), y, "a"))
    return _figure(out, ROW * len(rows) + AXIS, title, legend)


def lines(
    several: Sequence[Line], title: str, x_name: str, y_name: str, *, at_x: Sequence[float] = (), legend: Legend = ()
) -> Markup:
    """Lines over a common axis.

    Args:
        at_x: the few places that have a point: each gets a dot and a tick, and the axis becomes log(1 + x), so that
            zero has a place.
    """
    points = [point for line in several for point in line.points if _finite(*point)]
    bounds = [bound for line in several for _, *pair in line.intervals for bound in pair]
    up = Scale.over([*(y for _, y in points), *bounds], 190, 12)
    if up is None:
        return Markup("")
    across = _across([x for x, _ in points], at_x)
    out = []
    for y in up.ticks:
        out += [_line(12, up(y), RIGHT, up(y), "grid"), _tick(11, up(y) + 4, number_text(y), "end")]
    out += [_tick(across(x), 208, number_text(x), "middle") for x in _apart(across)]
    for line in several:
        out += [_line(across(x), up(low), across(x), up(high), "interval") for x, low, high in line.intervals]
        out += _path(line, across, up)
        out += [_dot(across(x), up(y), line.css) for x, y in line.points if at_x and _finite(x, y)]
    return _figure(out, 214, title, legend, axes=(y_name, x_name))


# --- scales ---


class Scale:
    """Values to places, linear or warped. Round numbers at its ends are its ticks."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.ticks: Sequence[float] = nice_ticks(low, high)
        self.low, self.high = min(self.ticks[0], low), max(self.ticks[-1], high)
        self.start, self.end = start, end
        self.warp: Callable[[float], float] = float

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> Scale | None:
        """A scale that holds all values; None if none is finite."""
        finite = [value for value in values if _finite(value)]
        return cls(min(finite), max(finite), start, end) if finite else None

    def __call__(self, value: float) -> float:
        low, high = self.warp(self.low), self.warp(self.high)
        return self.start + (self.end - self.start) * (self.warp(value) - low) / (high - low)


def _across(xs: Sequence[float], at_x: Sequence[float]) -> Scale:
    """The horizontal axis of a line chart, which ends where the points do."""
    scale = Scale(min(xs), max(xs), 14, RIGHT - 1)
    if at_x:
        scale.ticks, scale.warp = sorted(set(at_x)), math.log1p
    scale.low, scale.high = min(xs), max(max(xs), min(xs) + 1e-9)
    scale.ticks = [tick for tick in scale.ticks if scale.low <= tick <= scale.high]
    return scale


def _apart(scale: Scale) -> list[float]:
    """The ticks of a scale that have room."""
    kept: list[float] = []
    for tick in scale.ticks:
        if not kept or scale(tick) - scale(kept[-1]) >= CLOSEST_TICKS:
            kept.append(tick)
    return kept


def nice_ticks(low: float, high: float, count: int = 4) -> list[float]:
    """Round numbers that span an interval: about `count` of them, steps of 1, 2 or 5 times a power of ten.

    >>> nice_ticks(0, 7)
    [0.0, 2.0, 4.0, 6.0, 8.0]
    """
    if high <= low:
        high = low + (abs(low) or 1.0)
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{index * step:.10g}") for index in range(first, last + 1)]


def number_text(value: float) -> str:
    """An axis label: short, with k, M and B.

    >>> number_text(20000), number_text(0.005)
    ('20k', '0.005')
    """
    for limit, letter in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if letter == 'k' else limit):g}{letter}"
    return f"{value:g}"


# --- marks ---


def _rows_axis(scale: Scale, rows: Sequence[Bar | Dots]) -> list[Markup]:
    """Grid lines with ticks below, and the name of each row."""
    bottom = ROW * len(rows)
    out = [_line(scale(tick), 0, scale(tick), bottom, "grid") for tick in scale.ticks]
    out += [_tick(scale(tick), bottom + 15, number_text(tick), "middle") for tick in _apart(scale)]
    return out + [_tick(NAMES - 2, index * ROW + 15, _short(row.name), "end", "name") for index, row in enumerate(rows)]


def _short(name: Any) -> str:
    """A name that fits before its row; the table has it in full."""
    text = "–" if name is None else Markup(name).striptags() if isinstance(name, Markup) else str(name)
    return text if len(text) <= LONGEST_NAME else text[: LONGEST_NAME - 1] + "…"


def _figure(
    marks: Sequence[Markup], height: float, title: str, legend: Legend, axes: tuple[str, str] = ("", "")
) -> Markup:
    """The marks as a drawing, with title and legend above it."""
    keys = Markup("").join(
        Markup('<span class="key"><i class="{}"></i>{}</span> ').format(css, words) for css, words in legend
    )
    y_name, x_name = (
        Markup('<p class="axis {}">{}</p>').format(css, name) if name else "" for css, name in zip("yx", axes, strict=False)
    )
    return Markup(
        '<figure class="chart"><figcaption>{title} {keys}</figcaption>{y_name}'
        '<svg role="img" aria-label="{title}" width="100%" height="{height}">{marks}</svg>{x_name}</figure>'
    ).format(title=title, keys=keys, y_name=y_name, height=_r(height), marks=Markup("\n").join(marks), x_name=x_name)


def _path(line: Line, across: Scale, up: Scale) -> list[Markup]:
    """A polyline, broken where there is no number; in a box of its own, stretched from 100 units to the whole width."""
    runs: list[list[str]] = [[]]
    for x, y in line.points:
        if _finite(x, y):
            runs[-1].append(f"{across(x):.2f},{_r(up(y))}")
        elif runs[-1]:
            runs.append([])
    box = '<svg viewBox="0 0 100 214" width="100%" height="214" preserveAspectRatio="none">{}</svg>'
    path = '<polyline class="line {}" points="{}"/>'
    return [Markup(box).format(Markup(path).format(line.css, " ".join(run))) for run in runs if run]


def _bar(x: float, to_x: float, y: float, css: str) -> Markup:
    shape = '<rect class="{}" x="{}%" y="{}" width="{}%" height="{}"/>'
    return Markup(shape).format(css, _r(x), _r(y), _r(max(to_x - x, 0.25)), ROW - 8)


def _line(x: float, y: float, to_x: float, to_y: float, css: str) -> Markup:
    shape = '<line class="{}" x1="{}%" y1="{}" x2="{}%" y2="{}"/>'
    return Markup(shape).format(css, _r(x), _r(y), _r(to_x), _r(to_y))


def _dot(x: float, y: float, css: str) -> Markup:
    return Markup('<circle class="{}" cx="{}%" cy="{}" r="4"/>').format(css, _r(x), _r(y))


def _diamond(x: float, y: float, css: str) -> Markup:
    shape = '<svg x="{}%" y="{}" overflow="visible"><path class="{}" d="M-5 0L0-5L5 0L0 5Z"/></svg>'
    return Markup(shape).format(_r(x), _r(y), css)


def _tick(x: float, y: float, text: str, anchor: str, css: str = "") -> Markup:
    shape = '<text class="{}" x="{}%" y="{}" text-anchor="{}">{}</text>'
    return Markup(shape).format(f"tick {css}".strip(), _r(x), _r(y), anchor, text)


def _finite(*values: float) -> bool:
    return all(math.isfinite(value) for value in values)


def _r(value: float) -> str:
    """A place in a drawing, to a hundredth."""
    return f"{round(value, 2):g}"
