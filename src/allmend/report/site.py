"""`report.site`: a static site over other artifacts. Opens from disk, needs no network and no script."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup, escape

from allmend.kinds import Artifact, Config, Date, Field, RecipeName, Report, Work, write_json
from allmend.kinds.errors import StepFailed
from allmend.ledger import Claim
from allmend.report.book import EVIDENCE, Asked, Book, exact
from allmend.report.lineage import layout, lineage
from allmend.report.sections import shown

TEMPLATES = Path(__file__).parent / "templates"
_in_backticks = re.compile(r"`([^`]*)`")


class SiteConfig(Config):
    """What stands above the numbers."""

    title: str = Field("", description="heading of the site; the recipe's name if empty")
    recipe: RecipeName = Field(description="name of the recipe, as it is printed")
    date: Date = Field(description="date of the report, as it is printed")


def site(config: SiteConfig, of: list[Artifact], work: Work) -> Report:
    """Write `index.html`, `claims.html`, `claims.json` and `evidence/`. Numbers are asked of artifacts, never computed.

    Raises:
        StepFailed: none of the artifacts has a section.
    """
    book = Book(f"allmend run recipes/{config.recipe}.yaml")
    try:
        sections = shown(book, of)
        if not sections:
            kinds = ", ".join(sorted({type(each).__name__ for each in of})) or "nothing at all"
            raise StepFailed(
                f"report.site: it was given {kinds}, and has no section for any of it. Add artifacts that it shows "
                "(a corpus, a tokenizer, a mixture, a model, its scores, …) to `of`."
            )
        head = {"title": config.title or config.recipe, "recipe": config.recipe, "date": config.date}
        made = lineage(of)
        artifacts = list(dict.fromkeys((type(each).__name__, book.digest(each)) for each in of))
        _write(
            work.folder / "index.html", **head, sections=sections, made=made, graph=layout(made), artifacts=artifacts
        )
        _write(work.folder / "claims.html", **head, sources=_sources(book))
        book.write(work.folder)
    finally:
        book.close()
    write_json(work.folder / "summary.json", {"sections": len(sections), "claims": len(book.claims)})
    return Report(work.folder)


def _sources(book: Book) -> list[dict[str, Any]]:
    """The claims by the file that they come from, as the page of claims lists them."""

    def source(claim: Claim) -> tuple[str, str]:
        return claim.artifact, claim.file

    claims = sorted(book.claims.values(), key=source)
    return [
        {
            "id": f"source-{number}",
            "kind": book.kinds[artifact],
            "artifact": artifact,
            "file": file,
            "path": quote(f"{EVIDENCE}/{artifact}/{file}"),
            "claims": [(claim, Asked(claim, exact(claim.value)).plain) for claim in group],
        }
        for number, ((artifact, file), group) in enumerate(itertools.groupby(claims, source))
    ]


def _write(path: Path, **values: Any) -> None:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"name": _name, "sentence": _sentence}
    path.write_text(environment.get_template(path.name).render(**values), encoding="utf-8")


def _name(value: Any) -> Markup:
    """A name in a page. Our own words are `Markup`; text from data stands in `<code>`, where no digit is a claim."""
    if hasattr(value, "__html__"):
        return escape(value)
    return Markup("<code>{}</code>").format("–" if value in (None, "") else value)


def _sentence(text: str) -> Markup:
    """A claim's sentence: what stands in backticks is a name from the data."""
    parts = _in_backticks.split(text)
    return Markup("").join(_name(part) if number % 2 else escape(part) for number, part in enumerate(parts))
