"""Probes, trace, novelty, memorisation, contamination; shares no code with `data`, `mix`, `train`, `posttrain`."""

from allmend.audit import index, memorisation, probes
from allmend.audit.searcher import Document, Searcher, Source, Span, open_searcher, trace
from allmend.kinds import Step

STEPS: dict[str, Step] = {
    "index": Step(index.index, version=1, cost=index.cost, touches=index.touches),
    "memorisation": Step(memorisation.memorisation, version=1, cost=memorisation.cost, touches=memorisation.touches),
    "probes": Step(probes.probes, version=1, cost=probes.cost, touches=probes.touches, pinned=True),
}

__all__ = ["STEPS", "Document", "Searcher", "Source", "Span", "open_searcher", "trace"]
