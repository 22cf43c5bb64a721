"""Step `data.annotate`: every annotator's word on every document."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
from pydantic import field_validator

from allmend.data.annotators import ANNOTATORS, annotator
from allmend.data.counts import count_languages
from allmend.data.policies import newest
from allmend.kinds import Config, Crawl, Documents, Field, Verdicts, Work, read_table
from allmend.kinds.errors import nearest


class AnnotateConfig(Config):
    """Who has a say."""

    annotators: list[str] = Field(
        min_length=1, description="names of annotators; each adds one struct column, in this order"
    )

    @field_validator("annotators")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in ANNOTATORS:
                raise ValueError(
                    f"annotator `{name}` is not known.{nearest(name, ANNOTATORS)} To add one: docs/add-an-annotator.md"
                )
            if names.count(name) > 1:
                raise ValueError(f"annotator `{name}` is named {names.count(name)} times")
        return names


def annotate(config: AnnotateConfig, documents: Documents, crawl: Crawl, work: Work) -> Verdicts:
    """Say of each document what the annotators say: language, opt-outs, licence, personal data, toxicity, quality.
    Changes no text.
    """
    verdicts: Verdicts = work.map(annotate_part, over=[documents], own=_policies_of_parts(config, documents, crawl))
    if "language" in config.annotators:
        count_languages(verdicts, work, annotator("language").sure)
    return verdicts


def annotate_part(config: AnnotateConfig, documents: pa.Table, policies: dict[str, Any]) -> dict[str, pa.Table]:
    """The verdicts of one part."""
    rows = documents.to_pylist()
    columns: dict[str, Any] = {"id": documents["id"]}
    for name in config.annotators:
        judge = annotator(name)
        verdicts = [judge.annotate(row, policies.get(row["host"], ())) for row in rows]
        columns[name] = pa.array(verdicts, type=judge.type)
    return {"verdicts": pa.table(columns)}


def _policies_of_parts(config: AnnotateConfig, documents: Documents, crawl: Crawl) -> dict[str, dict[str, Any]]:
    """Each part's own policy files, so that another WARC moves only the parts with pages of its hosts."""
    if "optout" not in config.annotators:
        return {part: {} for part in documents.parts()}
    path = crawl.path("policies.jsonl")
    known = newest(json.loads(line) for line in path.read_bytes().splitlines())
    found = {}
    for part in documents.parts():
        hosts = set(read_table(documents.part_path(part), ["host"])["host"].to_pylist())
        found[part] = {host: known[host] for host in sorted(hosts & known.keys())}
    return found
