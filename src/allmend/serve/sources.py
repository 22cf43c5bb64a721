"""The documents that a model was trained on, as the audit room finds them: the one place where `serve` asks it."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import Any

from allmend.audit import Document, Searcher

MOST_DOCUMENTS = 5
"""Documents shown a span."""
LONGEST_TEXT = 20_000
"""Characters that are traced at once."""


class Sources:
    """Traces texts through one index.

    Args:
        searcher: opened once; only ever read.
        name: of the index, for people.
        digest: of the index.
        of_this_model: was the model trained on the very shards that the index covers? None: not known.
    """

    def __init__(self, searcher: Searcher, name: str, digest: str, of_this_model: bool | None) -> None:
        self.name, self.digest, self.of_this_model = name, digest, of_this_model
        self._searcher = searcher
        self._one_at_a_time = threading.Lock()

    def trace(self, text: str) -> dict[str, Any]:
        """Spans of a text with the documents that hold them, as JSON values. Offsets are characters of the text.

        For a worker thread: one trace runs at a time, apart from the event loop and from generation. Nothing is stored.
        """
        with self._one_at_a_time:
            spans = self._searcher.trace(text, documents=MOST_DOCUMENTS)
        return {
            "object": "trace",
            "index": {"name": self.name, "digest": self.digest, "of_this_model": self.of_this_model},
            "spans": [asdict(span) for span in spans],
        }

    def document(self, id: str) -> Document | None:
        """A training document by its id; None if there is none, or it was withdrawn."""
        return self._searcher.document(id)
