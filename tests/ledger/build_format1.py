"""Builds `tests/ledger/format1`, the committed ledger of format 1: python -m tests.ledger.build_format1

Run it never again: readers of format 1 stay for ever, and this folder is the proof. It stands here to say what is in
it.
Hard links become copies in git, and empty folders vanish; both must be readable.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from allmend.ledger import Ledger
from tests.ledger.conftest import put

FOLDER = Path(__file__).with_name("format1")


def main() -> None:
    """Three artifacts in a row, the first in two versions."""
    assert not FOLDER.exists(), "format 1 is written already"
    ledger = Ledger(FOLDER)
    put(ledger, "first/documents", {"documents/0.txt": "Grüezi, Allmend\n".encode()}, number=1.5, text="ß€😀")
    documents = put(
        ledger,
        "first/documents",
        {"documents/0.txt": b"Salut\n", "empty": b""},
        number=2,
        nested={"a": [1, None, True]},
    )
    corpus = put(ledger, "first/corpus", {"corpus/0.txt": b"Salut\n"}, {"documents": documents}, keep=True)
    put(ledger, "first/report", {"index.html": b"<p>none</p>\n"}, {"of": [documents, corpus]})
    ledger.put_part("c" * 64, {"files": [list(entry) for entry in corpus.manifest.files], "rows": {"corpus": 1}})
    for folder in (ledger.leases, ledger.state, ledger.tmp):
        shutil.rmtree(folder)
    (FOLDER / ".gitignore").unlink()


if __name__ == "__main__":
    main()
