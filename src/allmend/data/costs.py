"""What each step will need, from the bytes of the WARC files. Factors measured on the bundled crawl on one core; a
guide, no promise.
"""

from __future__ import annotations

from typing import Any

from allmend.kinds import Estimate

TEXT_SHARE = 3.1
"""Bytes of text for a byte of packed WARC (8.3 MB from 2.7 MB)."""
BYTES_A_TOKEN = 2.1
SECONDS_A_MB = {"extract": 0.45, "annotate": 1.2, "deduplicate": 0.4, "decide": 0.25, "tokenize": 0.5}
"""CPU seconds for each MB of packed WARC."""
PART_BYTES = 200_000_000


def crawl_cost(config: Any, inputs: dict[str, Estimate]) -> Estimate:
    """The files lie in the ledger once."""
    size = sum(file.size for file in config.warc)
    return Estimate(disk_bytes=size, seconds=size / 1e6 * 0.05, memory_bytes=PART_BYTES)


def _by_size(step: str, share: float, tokens_share: float = 0.0) -> Any:
    def cost(config: Any, inputs: dict[str, Estimate]) -> Estimate:
        packed = max((each.disk_bytes for each in inputs.values()), default=0)
        return Estimate(
            disk_bytes=int(packed * share), seconds=packed / 1e6 * SECONDS_A_MB[step], memory_bytes=PART_BYTES,
            tokens=int(packed * tokens_share),
        )  # fmt: skip

    return cost


extract_cost = _by_size("extract", 1.0)
annotate_cost = _by_size("annotate", 0.1)
deduplicate_cost = _by_size("deduplicate", 0.1)
decide_cost = _by_size("decide", 1.0)
tokenize_cost = _by_size("tokenize", TEXT_SHARE / BYTES_A_TOKEN * 2, TEXT_SHARE / BYTES_A_TOKEN)
