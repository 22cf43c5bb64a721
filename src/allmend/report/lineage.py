"""The lineage graph: which artifact was made from which, read from their manifests and laid out from top to bottom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from allmend.kinds import Artifact
from allmend.ledger import Manifest, Reference

BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y, EDGE = 116, 38, 16, 30, 6
SWEEPS = 8
MOST = 60
"""Artifacts in a drawing; of more, the table alone can be read."""
Point = tuple[float, float]


@dataclass(frozen=True)
class Made:
    """One artifact of the lineage; `step` is empty where the artifact itself isn't here, but is known from a child."""

    digest: str
    kind: str
    step: str
    parents: tuple[str, ...]


def lineage(artifacts: Sequence[Artifact]) -> list[Made]:
    """The artifacts and all their ancestors, parents first; empty outside a ledger."""
    found: dict[str, Made] = {}
    for artifact in artifacts:
        if (artifact.folder / "manifest.json").is_file():
            _visit(artifact.folder, None, found)
    return list(found.values())


def _visit(folder: Path, cited: Reference | None, found: dict[str, Made]) -> None:
    digest = folder.name
    if digest in found:
        return
    if not (folder / "manifest.json").is_file():
        assert cited is not None, folder
        found[digest] = Made(digest, cited.kind, "", ())
        return
    manifest = Manifest.read(folder)
    for parent in manifest.parents():
        _visit(folder.parents[1] / parent.key / parent.digest, parent, found)
    parents = tuple(dict.fromkeys(parent.digest for parent in manifest.parents()))
    found[digest] = Made(digest, manifest.kind, manifest.step, parents)


# --- drawing ---


@dataclass(frozen=True)
class Drawing:
    """Where boxes and edges stand, for the template that draws them."""

    width: float
    height: float
    boxes: list[tuple[Made, Point]]
    """Each with its top left corner."""
    edges: list[list[Point]]
    """From the bottom of a parent to the top of its child, through the gaps between the boxes of the rows between."""


def layout(made: Sequence[Made]) -> Drawing | None:
    """Rows from top to bottom, parents above children; None for more than can be read.

    An edge over several rows goes through a slim place of its own in each row between. Each row is sorted by the mean
    place of its neighbours above, then below, a few times over.

    Source:
        Sugiyama, Tagawa and Toda 1981, Methods for visual understanding of hierarchical system structures (IEEE Trans.
        Syst. Man Cybern. 11(2)): layers, then barycentres.
    """
    if not 0 < len(made) <= MOST:
        return None
    row = _rows(made)
    chains = [_chain(parent, one.digest, row) for one in made for parent in one.parents]
    rows: list[list[str]] = [[] for _ in range(max(row.values()) + 1)]
    for one in made:
        rows[row[one.digest]].append(one.digest)
    for chain in chains:
        for number, place in enumerate(chain[1:-1], row[chain[0]] + 1):
            rows[number].append(place)
    links = [link for chain in chains for link in zip(chain, chain[1:])]
    _untangle(rows, links)
    x = _places(rows, row)
    widest = max(x[members[-1]] + _width(members[-1], row) for members in rows)
    top = {place: 8 + number * (BOX_HEIGHT + GAP_Y) for number, members in enumerate(rows) for place in members}
    edges = [_edge(chain, x, top, row) for chain in chains]
    boxes = [(one, (x[one.digest], float(top[one.digest]))) for one in made]
    return Drawing(widest + 8, len(rows) * (BOX_HEIGHT + GAP_Y) - GAP_Y + 16, boxes, edges)


def _rows(made: Sequence[Made]) -> dict[str, int]:
    """Digest → row: one below the lowest parent."""
    row: dict[str, int] = {}
    for one in made:
        row[one.digest] = 1 + max((row[parent] for parent in one.parents), default=-1)
    return row


def _chain(parent: str, child: str, row: dict[str, int]) -> list[str]:
    """An edge as places in consecutive rows: the parent, one of its own in each row between, the child."""
    return [parent, *(f"{parent}>{child}>{number}" for number in range(row[parent] + 1, row[child])), child]


def _untangle(rows: list[list[str]], links: Sequence[tuple[str, str]]) -> None:
    """Sort each row by the mean place of its neighbours, downwards and upwards in turn."""
    above: dict[str, list[str]] = {}
    below: dict[str, list[str]] = {}
    for parent, child in links:
        above.setdefault(child, []).append(parent)
        below.setdefault(parent, []).append(child)
    for sweep in range(SWEEPS):
        neighbours, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for members in order:
            place = {one: (number + 0.5) / len(others) for others in rows for number, one in enumerate(others)}
            members.sort(key=lambda one: _mean([place[near] for near in neighbours.get(one, [one])]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _width(place: str, row: dict[str, int]) -> float:
    return BOX_WIDTH if place in row else EDGE


def _places(rows: Sequence[Sequence[str]], row: dict[str, int]) -> dict[str, float]:
    """Left side of each place; rows are centred."""
    wide = [sum(_width(one, row) + GAP_X for one in members) - GAP_X for members in rows]
    x: dict[str, float] = {}
    for members, width in zip(rows, wide, strict=True):
        at = 8 + (max(wide) - width) / 2
        for one in members:
            x[one] = at
            at += _width(one, row) + GAP_X
    return x


def _edge(chain: Sequence[str], x: dict[str, float], top: dict[str, int], row: dict[str, int]) -> list[Point]:
    """From below the parent, straight down beside the boxes of each row between, to above the child."""
    points: list[Point] = [(x[chain[0]] + BOX_WIDTH / 2, float(top[chain[0]] + BOX_HEIGHT))]
    for place in chain[1:-1]:
        points += [(x[place] + EDGE / 2, float(top[place])), (x[place] + EDGE / 2, float(top[place] + BOX_HEIGHT))]
    return [*points, (x[chain[-1]] + BOX_WIDTH / 2, float(top[chain[-1]]))]
