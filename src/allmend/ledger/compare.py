"""What differs between two artifacts, and which of the artifacts they were made from brought it about."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard

from allmend.kinds.errors import DamagedError
from allmend.ledger.manifest import Manifest, Reference
from allmend.ledger.store import Ledger

SHOWN = 8
LONGEST = 60


class Cause(NamedTuple):
    """An artifact that was made in another way than its counterpart before, and how, one sentence each."""

    before: Manifest
    after: Manifest
    sentences: list[str]


def differences(before: Manifest, after: Manifest) -> list[str]:
    """What differs between two artifacts, one sentence each: step, config, inputs, numbers, files."""
    return [
        *_made_otherwise(before, after),
        *_other_inputs(before, after),
        *_other_values("number", before.metrics, after.metrics),
        *_other_files(before, after),
    ]


def causes(ledger: Ledger, before: Manifest, after: Manifest) -> list[Cause]:
    """Where two artifacts' histories part: pairs of ancestors whose own step, version or config differs, nearest first.

    Pairs are found by the names of inputs; where both are equal, nothing before them is looked at.
    """
    found: list[Cause] = []
    waiting: list[tuple[Manifest, Manifest]] = [(before, after)]
    seen: set[tuple[Reference, Reference]] = set()
    while waiting:
        old, new = waiting.pop(0)
        sentences = [*_made_otherwise(old, new), *_added_inputs(old, new)]
        parents = [(a, b) for a, b in _paired(old, new) if a.digest != b.digest]
        if not sentences and not parents and old.digest != new.digest:
            sentences = ["the same key gave other bytes"]
        if sentences:
            found.append(Cause(old, new, sentences))
        for a, b in parents:
            if (a, b) not in seen:
                seen.add((a, b))
                try:
                    waiting.append((ledger.get(a.key, a.digest).manifest, ledger.get(b.key, b.digest).manifest))
                except DamagedError:  # absent, or for `verify` to name
                    continue
    return found


def sources(one: Manifest) -> Iterator[tuple[str, Reference]]:
    """Each input with its name; a list's with their numbers."""
    for name, value in sorted(one.inputs.items()):
        if isinstance(value, list):
            yield from ((f"{name}[{index}]", each) for index, each in enumerate(value))
        else:
            yield name, value


def _paired(before: Manifest, after: Manifest) -> list[tuple[Reference, Reference]]:
    old = dict(sources(before))
    return [(old[name], reference) for name, reference in sources(after) if name in old]


def _added_inputs(before: Manifest, after: Manifest) -> list[str]:
    old, new = dict(sources(before)), dict(sources(after))
    return [f"input {name}: {'new' if name in new else 'gone'}" for name in sorted(old.keys() ^ new.keys())]


def _made_otherwise(before: Manifest, after: Manifest) -> list[str]:
    found = []
    if (before.step, before.version) != (after.step, after.version):
        found.append(f"step: {before.step} version {before.version} → {after.step} version {after.version}")
    if before.writer != after.writer:
        found.append(f"file writer: version {before.writer} → {after.writer}")
    absent = "default" if before.step == after.step else "none"
    return found + _other_values("config", before.config, after.config, absent)


def _other_inputs(before: Manifest, after: Manifest) -> list[str]:
    old, new = dict(sources(before)), dict(sources(after))
    changed = [
        f"input {name}: {old[name].digest[:12]} → {new[name].digest[:12]}"
        for name in sorted(old.keys() & new.keys())
        if old[name].digest != new[name].digest
    ]
    return [*changed, *_added_inputs(before, after)]


def _other_values(label: str, before: Mapping[str, Any], after: Mapping[str, Any], absent: str = "none") -> list[str]:
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old == new and type(old) is type(new) and (name in before) == (name in after):
            continue
        if _are_files(old) and _are_files(new):
            found += _other_outside(f"{label} {name}", old, new)
            continue
        left = short_value(old) if name in before else absent
        right = short_value(new) if name in after else absent
        found.append(f"{label} {name}: {left} → {right}")
    return found


def _are_files(value: Any) -> TypeGuard[list[dict[str, Any]]]:
    return isinstance(value, list) and all(isinstance(each, dict) and {"name", "sha256"} <= set(each) for each in value)


def _other_outside(label: str, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> list[str]:
    """Files from outside, by name."""
    old, new = ({each["name"]: each["sha256"] for each in value} for value in (before, after))
    words = {"new": new.keys() - old.keys(), "gone": old.keys() - new.keys()}
    words["changed"] = {name for name in old.keys() & new.keys() if old[name] != new[name]}
    return [f"{label}: {_listed(sorted(names))} {word}" for word, names in words.items() if names]


def _other_files(before: Manifest, after: Manifest) -> list[str]:
    old, new = ({entry.path: entry.sha256 for entry in one.files} for one in (before, after))
    changed = sorted(path for path in old.keys() & new.keys() if old[path] != new[path])
    lists = {
        "changed": changed, "new": sorted(new.keys() - old.keys()), "gone": sorted(old.keys() - new.keys()),
    }  # fmt: skip
    return [
        f"files: {len(paths)} of {len({*old, *new})} {word}: {_listed(paths)}" for word, paths in lists.items() if paths
    ]


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def short_value(value: Any) -> str:
    """A config's or metric's value on part of a line."""
    if isinstance(value, dict) and {"name", "sha256"} <= set(value):
        return f"{value['name']} ({str(value['sha256'])[:12]})"
    if _are_files(value) and value:
        return _listed([str(each["name"]) for each in value])
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
