"""Step `data.decide`: one policy turns verdicts into keep, drop or redact, with every reason; withdrawn documents
become holes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import pyarrow as pa
from pydantic import field_validator

from allmend.data.counts import count_decisions
from allmend.data.policy import Policy, load_policy
from allmend.data.withdrawals import Withdrawn, resolve
from allmend.kinds import (
    MARKERS,
    Config,
    Corpus,
    Documents,
    Field,
    InputFile,
    Verdicts,
    Withdrawals,
    Work,
    part_of,
    read_table,
)
from allmend.kinds.corpus import CORPUS, DECISIONS, HOLES
from allmend.kinds.errors import RecipeError, StepFailed, nearest

MARKER = {marker[1:].removesuffix("-pii>"): marker for marker in MARKERS}
Row = dict[str, Any]


class DecideConfig(Config):
    """Which rules decide."""

    policy: InputFile = Field(description="policy file: rules over verdicts")
    withdrawals: Withdrawals

    @field_validator("policy")
    @classmethod
    def _sound(cls, policy: InputFile) -> InputFile:
        """A mistake in the policy is found before anything runs."""
        try:
            load_policy(policy)
        except RecipeError as error:
            raise ValueError(str(error)) from error
        return policy


def decide(config: DecideConfig, documents: Documents, verdicts: list[Verdicts], work: Work) -> Corpus:
    """Judge every document by the policy: keep, drop or redact, with all reasons. Of copies one is kept; withdrawn
    documents are dropped.
    """
    policy = load_policy(config.policy)
    _check_needs(policy, verdicts)
    withdrawn = resolve(config.withdrawals, _named_rows(documents, verdicts))
    kept = _kept_copies(policy, documents, verdicts, withdrawn)
    _tell_waiting(kept, withdrawn, work)
    corpus: Corpus = work.map(decide_part, over=[documents, *verdicts], own=_of_parts(documents, withdrawn, kept))
    count_decisions(corpus, work)
    return corpus


def decide_part(config: DecideConfig, documents: pa.Table, *rest: Any) -> dict[str, pa.Table]:
    """The fate of each document of one part."""
    *verdicts, own = rest
    policy = load_policy(config.policy)
    corpus: list[Row] = []
    decisions: list[Row] = []
    for row, verdict in _judged(documents, verdicts):
        if "duplicates" in verdict:
            verdict["duplicates"]["kept"] = own["kept"].get(row["id"])
        fate, reasons = policy.judge(verdict)
        if gone := own["withdrawn"].get(row["id"]):
            fate, reasons = (
                "drop",
                [("withdrawal", gone["selector"] or "document", f"{gone['at']}: {gone['reason']}"), *reasons],
            )
        licence = verdict["licence"]["label"] if "licence" in verdict else None
        named = {name: row[name] for name in ("id", "url", "host", "source")} | {
            "language": verdict["language"]["label"],
            "licence": licence,
        }
        listed = [dict(zip(("annotator", "rule", "evidence"), reason, strict=True)) for reason in reasons]
        decisions.append({**named, "fate": fate, "reasons": listed, "bytes": row["bytes"]})
        if fate != "drop":
            text = redact(row["text"], verdict["pii"]["spans"], policy.redacted()) if fate == "redact" else row["text"]
            corpus.append(
                {
                    **named,
                    "text": text,
                    "title": row["title"],
                    "domain": verdict["language"]["base"],
                    "bytes": len(text.encode()),
                }
            )
    return {
        "decisions": pa.Table.from_pylist(decisions, DECISIONS),
        "corpus": pa.Table.from_pylist(corpus, CORPUS),
        "holes": pa.Table.from_pylist(own["holes"], HOLES),
    }


def redact(text: str, spans: list[Row], kinds: frozenset[str]) -> str:
    """The text with each span of these kinds replaced by its marker."""
    for span in sorted(spans, key=lambda each: -each["start"]):
        if span["kind"] in kinds:
            text = text[: span["start"]] + MARKER[span["kind"]] + text[span["end"] :]
    return text


def _judged(documents: pa.Table, verdicts: list[pa.Table]) -> Iterator[tuple[Row, Row]]:
    """Each document with all verdicts on it."""
    ids = documents["id"].to_pylist()
    for table in verdicts:
        assert table["id"].to_pylist() == ids, "verdicts of other documents"
    columns = [table.drop_columns(["id"]).to_pylist() for table in verdicts]
    for number, row in enumerate(documents.to_pylist()):
        verdict: Row = {"id": row["id"]}
        for column in columns:
            verdict |= column[number]
        yield row, verdict


def _check_needs(policy: Policy, verdicts: list[Verdicts]) -> None:
    """Every verdict that a rule reads must be there."""
    have: dict[str, set[str]] = {}
    for each in verdicts:
        for part in each.parts()[:1]:
            for field in each.load(part).schema:
                have[field.name] = {inner.name for inner in field.type} if pa.types.is_struct(field.type) else set()
    for need in policy.needs() if have else []:
        annotator, _, value = need.partition(".")
        if annotator not in have:
            raise StepFailed(f"data.decide: the policy {policy.name} reads verdicts of `{annotator}`, and there are none.{nearest(annotator, set(have) - {'id'})} Add it to the recipe's verdicts.")  # fmt: skip
        if value and value not in have[annotator]:
            raise StepFailed(f"data.decide: the policy {policy.name} reads `{need}`, and `{annotator}` has no such value.{nearest(value, have[annotator])}")  # fmt: skip


# --- withdrawals ---


def _named_rows(documents: Documents, verdicts: list[Verdicts]) -> Iterator[Row]:
    for part in documents.parts():
        table = read_table(documents.part_path(part), ["id", "url", "host", "source"])
        licences: list[Any] = [None] * table.num_rows
        for each in verdicts:
            judged = each.load(part)
            if "licence" in judged.column_names:
                licences = [verdict["label"] for verdict in judged["licence"].to_pylist()]
        for row, licence in zip(table.to_pylist(), licences, strict=True):
            yield {**row, "licence": licence}


def _holes(one: str, gone: Withdrawn) -> list[Row]:
    """Rows of `holes`: one a tokenizer that the record has a count for; one without counts if it has none."""
    record = gone.record
    named = {name: record.get(name) for name in ("url", "host", "language", "licence", "domain")}
    counts = sorted((record.get("tokens") or {}).items()) or [(None, None)]
    return [
        {"id": one, **named, "tokenizer": tokenizer, "tokens": tokens, "withdrawn_at": gone.at}
        for tokenizer, tokens in counts
    ]


def _of_parts(documents: Documents, withdrawn: dict[str, Withdrawn], kept: dict[str, str]) -> dict[str, Row]:
    """What each part needs to know of the rest: its withdrawn documents, its holes, and which copy of its clusters is
    kept.
    """
    parts = documents.parts()
    found: dict[str, Row] = {part: {"withdrawn": {}, "holes": [], "kept": {}} for part in parts}
    ids = sorted(withdrawn.keys() | kept.keys())
    for one, index in zip(ids, part_of(pa.array(ids, pa.string()), len(parts)) if ids else (), strict=True):
        own = found[parts[index]]
        if one in kept:
            own["kept"][one] = kept[one]
        if gone := withdrawn.get(one):
            own["withdrawn"][one] = {
                name: value for name, value in asdict(gone).items() if name in ("at", "reason", "selector")
            }
            own["holes"] += _holes(one, gone) if gone.hole else []
    return found


# --- duplicates ---


def _kept_copies(
    policy: Policy, documents: Documents, verdicts: list[Verdicts], withdrawn: dict[str, Withdrawn]
) -> dict[str, str]:
    """Id of each document that has copies and that no other rule drops → the id of the copy among them that is kept.

    A withdrawn document stays the kept one, so that no other takes its place and the order of the rest holds.
    """
    rule = policy.one_copy()
    if rule is None:
        return {}
    clusters: dict[str, list[tuple[Any, ...]]] = {}
    for row, verdict in _copies(documents, verdicts):
        cluster, one = verdict["duplicates"]["cluster"], row["id"]
        gone = withdrawn.get(one)
        if policy.judge(verdict, copies=False)[0] != "drop" and not (gone and not gone.hole):
            ranks = {"newest": _reversed(row["fetched_at"] or ""), "longest": -len(row["text"])}
            clusters.setdefault(cluster, []).append((*(ranks[word] for word in rule.prefer), one))
    return {ranked[-1]: min(members)[-1] for members in clusters.values() for ranked in members}


def _reversed(date: str) -> tuple[int, ...]:
    """Sorts dates from the newest to the oldest; none is the oldest."""
    return tuple(-ord(character) for character in date) or (1,)


def _copies(documents: Documents, verdicts: list[Verdicts]) -> Iterator[tuple[Row, Row]]:
    """The documents that have copies, part by part, so that memory holds one."""
    import pyarrow.compute as pc

    for part in documents.parts():
        tables = [each.load(part) for each in verdicts]
        for table in tables:
            if "duplicates" in table.column_names:
                many = pc.greater(pc.struct_field(table["duplicates"], "size"), 1)
                yield from _judged(documents.load(part).filter(many), [each.filter(many) for each in tables])


def _tell_waiting(kept: dict[str, str], withdrawn: dict[str, Withdrawn], work: Work) -> None:
    waiting = sorted({one for one in kept.values() if one in withdrawn})
    if waiting:
        work.log(
            f"{len(waiting)} withdrawn documents had copies; these wait until a build with `compact: true`, so that the order of the rest "
            f"stays: {', '.join(waiting[:10])}{' …' if len(waiting) > 10 else ''}"
        )
