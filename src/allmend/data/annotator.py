"""What an annotator is: it says something of each document, in one struct column, and never changes text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pyarrow as pa

from allmend.data.policies import Policy
from allmend.kinds import Member
from allmend.kinds.corpus import DOCUMENTS

Document = dict[str, Any]
"""A row of `Documents`, as a dict."""


class Annotator(Member):
    """Base of the family. A member states values; what follows from them is the policy's word.

    Attributes:
        type: the struct that it writes.
        examples: (document, the fields that its verdict must have).
    """

    type: ClassVar[pa.DataType]
    examples: ClassVar[tuple[tuple[Document, dict[str, Any]], ...]]

    def annotate(self, document: Document, policies: Sequence[Policy] = ()) -> dict[str, Any]:
        """The verdict on one document. `policies`: the policy files of its host."""
        raise NotImplementedError


def page(
    text: str = "",
    url: str = "https://a.example/page",
    language: str | None = None,
    hints: Sequence[tuple[str, str, str]] = (),
) -> Document:
    """A document for examples and tests."""
    row: Document = dict.fromkeys(DOCUMENTS.names)
    named = [{"source": source, "name": name, "value": value} for source, name, value in hints]
    return row | {"text": text, "url": url, "declared_language": language, "hints": named}


def hints(document: Document, *names: str) -> Iterator[tuple[str, str, str]]:
    """(source, name, value) of the document's hints of these names, in their order."""
    for hint in document["hints"] or ():
        if hint["name"] in names:
            yield hint["source"], hint["name"], hint["value"]
