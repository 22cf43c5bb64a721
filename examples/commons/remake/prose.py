"""Real English prose: two public-domain texts from the Debian package miscfiles, cut into pages."""

from __future__ import annotations

import gzip
import hashlib
import html
import re
from pathlib import Path

from remake.warc import Response

HOST = "prose.example"
SHA256 = {
    "us-constitution.gz": "4c3725d4be3f4be622d32f359fb3b0ac4e610f6342e13240f047be8118979935",
    "us-declaration.gz": "f218033ec371e39350f183e1c59b0a3d604a534bb3f4e0885f4c9d91e227a22c",
}
PAGE = """<!doctype html>
<html lang="en">
  <head>
    <title>{title}</title>
    <link rel="license" href="https://creativecommons.org/publicdomain/mark/1.0/">
  </head>
  <body>
    <main>
      <h1>{title}</h1>
{paragraphs}
    </main>
  </body>
</html>
"""
CHAPTER = re.compile(r"(?m)^(?=(?:Article [IVX]+|Amendments)$)")


def responses(folder: Path) -> list[Response]:
    """The Declaration as one page, the Constitution as one page an article and one for its amendments."""
    declaration, constitution = (_read(folder / name) for name in ("us-declaration.gz", "us-constitution.gz"))
    pages = {"declaration": ("The Declaration of Independence of 1776", declaration)}
    for part in CHAPTER.split(constitution):
        name = part.split("\n", 1)[0].strip()
        name = name if name.startswith(("Article ", "Amendments")) else "Preamble"
        pages[name.lower().replace(" ", "-")] = (f"The Constitution of the United States: {name}", part)
    robots = Response(f"https://{HOST}/robots.txt", b"User-agent: *\nDisallow: /drafts/\n", "text/plain")
    return [robots, *(_page(path, title, text) for path, (title, text) in sorted(pages.items()))]


def _read(path: Path) -> str:
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256[path.name]:
        raise SystemExit(
            f"{path}: SHA-256 {found}, pinned is {SHA256[path.name]}. It is in Debian's miscfiles 1.5+dfsg-4."
        )
    return gzip.decompress(path.read_bytes()).decode("utf-8")


def _page(path: str, title: str, text: str) -> Response:
    paragraphs = [" ".join(block.split()) for block in re.split(r"\n\s*\n", text)]
    lines = [f"      <p>{html.escape(paragraph, quote=False)}</p>" for paragraph in paragraphs if paragraph]
    body = PAGE.format(title=html.escape(title), paragraphs="\n".join(lines))
    return Response(f"https://{HOST}/{path}", body.encode())
