"""The pages for people: what this model is, a sentence to continue, and the training documents behind it.

Everything is escaped by the template engine; scripts and styles are files of ours, so that the content security policy
needs no exception.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import jinja2
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from allmend import __version__
from allmend.serve.errors import ApiError
from allmend.serve.served import Served
from allmend.serve.sources import LONGEST_TEXT

HERE = Path(__file__).parent
FIRST_WORDS = "All human beings are born free"
"""What stands in the text field at first."""
LONGEST_SPAN = 2_000
"""Characters of a span that a document's page marks."""


class Pages:
    """Renders the pages of one served model."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self._templates = jinja2.Environment(
            loader=jinja2.FileSystemLoader(HERE / "templates"), autoescape=True, undefined=jinja2.StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self.home),
            Route("/documents/{id}", self.document),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ]

    async def home(self, request: Request) -> Response:
        return self._page("home.html", facts=self.facts(), first_words=FIRST_WORDS, longest_text=LONGEST_TEXT)

    async def document(self, request: Request) -> Response:
        """A training document; `?span=` marks a run of its words wherever it stands."""
        sources = self.served.sources
        id = request.path_params["id"]
        found = await asyncio.to_thread(sources.document, id) if sources else None
        if found is None:
            return self._message(404, "No such document", "No training document has this id, or it was withdrawn.")
        pieces = marked(found.text, request.query_params.get("span", "")[:LONGEST_SPAN])
        return self._page(
            "document.html", document=found, pieces=pieces, count=sum(mark for _, mark in pieces),
            link=found.url if urlsplit(found.url).scheme in ("http", "https") else "",
        )  # fmt: skip

    async def http_error(self, request: Request, error: Exception) -> Response:
        """What routing refuses: in OpenAI's envelope under `/v1/`, else as a page."""
        assert isinstance(error, HTTPException), error
        if request.url.path.startswith("/v1/"):
            message = f"{request.method} {request.url.path[:200]} is not known here."
            return ApiError(error.status_code, message, code="unknown_url").response()
        return self._message(error.status_code, error.detail, "There is nothing at this address.")

    def facts(self) -> list[tuple[str, str]]:
        """What is known of the model, as (word, value), from its config and summary."""
        shape, summary = self.served.loaded.shape, self.served.summary
        rows: list[tuple[str, Any]] = [
            ("Architecture", f"{shape.family}, {shape.layers} layers, width {shape.width:,}"),
            ("Parameters", self.served.parameters),
            ("Trained on", f"{summary['tokens']:,} tokens" if isinstance(summary.get("tokens"), int) else None),
            ("Languages", self._languages()),
            ("Vocabulary", f"{shape.vocab:,} tokens"),
            ("Context", f"{shape.context:,} tokens, prompt and answer together"),
            ("Digest", self.served.digest[:16] or None),
        ]
        return [(word, f"{value:,}" if isinstance(value, int) else value) for word, value in rows if value is not None]

    def _languages(self) -> int | None:
        """Language domains that the training read."""
        path = self.served.loaded.folder / "domains.parquet"
        if not path.is_file():
            return None
        from allmend.kinds import read_table

        names = read_table(path, ["domain"])["domain"].to_pylist()
        return len(set(names) - {"probes"})

    def _page(self, template: str, status: int = 200, **values: Any) -> Response:
        html = self._templates.get_template(template).render(served=self.served, version=__version__, **values)
        return HTMLResponse(html, status, headers={"cache-control": "no-cache"})

    def _message(self, status: int, title: str, message: str) -> Response:
        return self._page("message.html", status, title=title, message=message)


def marked(text: str, span: str) -> list[tuple[str, bool]]:
    """A text cut into pieces, those True that are the span; white space matches whatever its kind."""
    words = span.split()
    if not words:
        return [(text, False)]
    pieces, place = [], 0
    for match in re.finditer(r"\s+".join(map(re.escape, words)), text):
        pieces += [(text[place : match.start()], False), (match[0], True)]
        place = match.end()
    return [piece for piece in [*pieces, (text[place:], False)] if piece[0]]
