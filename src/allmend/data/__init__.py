"""Crawl, extract, annotators, dedup, decontaminate, decide, tokenize."""

from allmend.data.annotate import annotate
from allmend.data.costs import annotate_cost, crawl_cost, decide_cost, deduplicate_cost, extract_cost, tokenize_cost
from allmend.data.crawl import crawl
from allmend.data.decide import decide
from allmend.data.deduplicate import deduplicate
from allmend.data.extract import extract
from allmend.data.tokenize import tokenize
from allmend.data.touches import touched_corpus, touched_documents, touched_shards, touched_verdicts
from allmend.kinds import Step

STEPS = {
    "crawl": Step(crawl, version=1, cost=crawl_cost),
    "extract": Step(extract, version=1, cost=extract_cost, touches=touched_documents),
    "annotate": Step(annotate, version=1, cost=annotate_cost, touches=touched_verdicts, apart=("crawl",)),
    "deduplicate": Step(deduplicate, version=1, cost=deduplicate_cost, touches=touched_verdicts),
    "decide": Step(decide, version=1, cost=decide_cost, touches=touched_corpus, apart=("withdrawals",)),
    "tokenize": Step(tokenize, version=1, cost=tokenize_cost, touches=touched_shards),
}

__all__ = ["STEPS"]
