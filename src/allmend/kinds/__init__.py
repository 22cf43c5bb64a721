"""Artifact types with readers and byte-stable writers, `Config`, `Step`, `Work`, the error tree; takes no decisions."""

from allmend.kinds import errors
from allmend.kinds.artifact import KINDS, RUN, Artifact, View
from allmend.kinds.canonical import canonical_json, content_digest, sha256_file, sha256_json
from allmend.kinds.config import (
    Config,
    Count,
    Date,
    Field,
    InputFile,
    InputFiles,
    InputURL,
    Member,
    Parts,
    RecipeName,
    Secret,
    Seed,
    Share,
    Withdrawals,
    canonical,
    load_config,
    parse_count,
)
from allmend.kinds.corpus import (
    Corpus,
    Crawl,
    Documents,
    Shards,
    Verdicts,
    document_id,
    normal_text,
    part_names,
    part_of,
    url_id,
)
from allmend.kinds.models import (
    BOD,
    EOD,
    MARKERS,
    PAD,
    SPECIAL_TOKENS,
    WITHDRAWN,
    Adapter,
    Chats,
    Classifier,
    Evaluation,
    Findings,
    Fit,
    Index,
    Leaderboard,
    Mixture,
    Mixtures,
    Model,
    Probes,
    Release,
    Report,
    Tokenizer,
    load_tokenizer,
)
from allmend.kinds.step import Estimate, Shrink, Step, Touched
from allmend.kinds.tables import WRITER, read_table, write_json, write_jsonl, write_table
from allmend.kinds.work import Work

__all__ = [
    "BOD", "EOD", "KINDS", "MARKERS", "PAD", "RUN", "SPECIAL_TOKENS", "WITHDRAWN", "WRITER", "Adapter", "Artifact",
    "Chats", "Classifier", "Config", "Corpus", "Count", "Crawl", "Date", "Documents", "Estimate", "Evaluation",
    "Field", "Findings", "Fit", "Index", "InputFile", "InputFiles", "InputURL", "Leaderboard", "Member", "Mixture",
    "Mixtures", "Model", "Parts", "Probes", "RecipeName", "Release", "Report", "Secret", "Seed", "Shards", "Share",
    "Shrink", "Step", "Tokenizer", "Touched", "Verdicts", "View", "Withdrawals", "Work", "canonical",
    "canonical_json", "content_digest", "document_id", "errors", "load_config", "load_tokenizer", "normal_text",
    "parse_count", "part_names", "part_of", "read_table", "sha256_file", "sha256_json", "url_id", "write_json",
    "write_jsonl", "write_table",
]  # fmt: skip
