"""Makes the crawl of the micro recipe: 40 pages of the bundled crawl with the policy files of their hosts.

    python tests/recipes/make_micro.py

Each record of those files is a gzip member of its own, so members are copied as they are.
"""

from __future__ import annotations

import gzip
import itertools
import re
import zlib
from pathlib import Path
from urllib.parse import urlsplit

COMMONS = Path(__file__).parents[2] / "examples" / "commons"
MICRO = Path(__file__).parent / "micro"
MEMBER = re.compile(re.escape(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff"))
URI = re.compile(rb"^WARC-Target-URI: <?([^>\r\n]+)>?\r$", re.MULTILINE)
DECLARATIONS = (
    "eng", "deu-1901", "deu-1996", "fra", "spa", "ita", "rus", "roh-puter", "roh-surmiran", "roh-vallader", "roh-rumgr", "cmn-hans",
    "cmn-hant", "arb", "swh", "ell-monotonic", "heb", "hin", "jpn", "tam",
)  # fmt: skip
PLANTED = (
    "agent", "agent-twin", "star", "noai-meta", "noai-meta-twin", "tdm-header", "nc", "nc-twin", "email", "email-twin", "iban",
    "iban-twin", "toxic", "toxic-names", "lorem", "lorem-twin", "empty", "charset-none", "exact-old", "exact-new",
)  # fmt: skip



def main() -> None:
    """Write `micro/pages.warc.gz` and `micro/heldout.jsonl`."""
    MICRO.mkdir(exist_ok=True)
    hosts = {f"{code}.udhr.example" for code in DECLARATIONS} | {f"{case}.planted.example" for case in PLANTED}
    kept, found = [], set()
    for name in ("pages.warc.gz", "planted.warc.gz"):
        data = (COMMONS / name).read_bytes()
        starts = [match.start() for match in MEMBER.finditer(data)]
        for start, end in itertools.pairwise([*starts, len(data)]):
            match = URI.search(zlib.decompress(data[start:end], wbits=31))
            host = urlsplit(match[1].decode()).netloc if match else ""
            if host in hosts or (not match and not kept):
                kept.append(data[start:end])
                found.add(host)
    assert hosts <= found, sorted(hosts - found)
    (MICRO / "pages.warc.gz").write_bytes(b"".join(kept))
    lines = (COMMONS / "heldout.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    codes = {code.replace("-", "_") for code in DECLARATIONS}
    held = [line for line in lines if re.search(r'"code": "([^"]+)"', line)[1].lower() in codes]
    (MICRO / "heldout.jsonl").write_text("".join(held), encoding="utf-8")
    size = len(gzip.decompress((MICRO / "pages.warc.gz").read_bytes()))
    print(f"{len(kept)} records, {size:,} bytes unpacked; {len(held)} held-out pages")


if __name__ == "__main__":
    main()
