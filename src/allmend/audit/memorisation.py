"""`audit.memorisation`: how much of each planted probe a model recites, by the number of times it read it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import Any

import numpy as np
import pyarrow as pa

from allmend.audit.index import digest_of
from allmend.audit.order import DOMAIN, realised_repeats
from allmend.kinds import (
    Config,
    Estimate,
    Field,
    Findings,
    Model,
    Probes,
    Touched,
    Work,
    read_table,
    write_json,
    write_table,
)
from allmend.kinds.errors import UsageError

Z95 = 1.959963984540054
"""The standard normal's 97.5 % point: intervals hold the true share in 95 of 100 runs."""
ROWS = pa.schema([
    ("probe", pa.string()), ("repeats", pa.int32()), ("realised", pa.int64()), ("exact", pa.bool_()),
    ("suffix_tokens", pa.int32()), ("leading_tokens", pa.int32()), ("matched_tokens", pa.int32()),
    ("matched_share", pa.float64()), ("nats_per_token", pa.float64()),
    ("prefix", pa.string()), ("suffix", pa.string()), ("generated", pa.string()),
])  # fmt: skip
CURVE = pa.schema([
    ("repeats", pa.int32()), ("realised_mean", pa.float64()), ("probes", pa.int32()), ("recalled", pa.int32()),
    ("recall", pa.float64()), ("low", pa.float64()), ("high", pa.float64()), ("matched_share", pa.float64()),
    ("nats_per_token", pa.float64()), ("nats_low", pa.float64()), ("nats_high", pa.float64()),
])  # fmt: skip


class MemorisationConfig(Config):
    """How memory is asked."""

    bootstrap: int = Field(1000, ge=100, description="resamples of the probes for the interval of nats per token")
    threads: int = Field(1, ge=1, description="threads of the model; another number may change last digits")


def memorisation(config: MemorisationConfig, model: Model, probes: Probes, work: Work) -> Findings:
    """Give the model the first half of each probe, and compare its greedy continuation with the second half."""
    planted = read_table(probes.path("probes.parquet")).to_pylist()
    realised = _realised(model, planted, probes)
    with _threads(config.threads):
        answers = _ask(model, planted, work)
    rows = [{"realised": realised[row["probe"]] if realised else 0, **row} for row in answers]
    curve = [_point(config, rows, repeats, work) for repeats in sorted({row["repeats"] for row in rows})]
    write_table(work.folder / "memorisation.parquet", pa.Table.from_pylist(rows, ROWS))
    write_table(work.folder / "curve.parquet", pa.Table.from_pylist(curve, CURVE))
    write_json(work.folder / "summary.json", _summary(rows, curve, realised is not None))
    return Findings(work.folder)


# --- asking the model ---


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    """So many threads within torch, and then as many as before."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ask(model: Model, planted: Sequence[Mapping[str, Any]], work: Work) -> list[dict[str, Any]]:
    from allmend.model import load_model, log_probabilities

    loaded = load_model(model.folder, device=work.device)
    longest = max(len(probe["tokens"]) for probe in planted)
    if longest > loaded.shape.context:
        raise UsageError(
            f"audit.memorisation: a probe has {longest} tokens, and the model's context is {loaded.shape.context}. "
            "Make the probes shorter (`length:` of audit.probes), or take a model with a longer context."
        )
    nats = log_probabilities(loaded, [probe["tokens"] for probe in planted])
    rows = []
    with work.progress("probes", len(planted), "probes") as bar:
        for probe, known in zip(planted, nats, strict=True):
            rows.append(_recall(loaded, probe, known))
            bar.advance()
    return rows


def _recall(loaded: Any, probe: Mapping[str, Any], log_probability: np.ndarray) -> dict[str, Any]:
    """One probe: its second half is the text after the middle; <eod> isn't asked for."""
    from allmend.model import generate

    half = len(probe["tokens"]) // 2
    prefix, suffix = probe["tokens"][:half], probe["tokens"][half:-1]
    generated = [drawn.token for drawn in generate(loaded, prefix, max_tokens=len(suffix))]
    matched = longest_shared_run(generated, suffix)
    leading = next(
        (at for at, (a, b) in enumerate(zip(generated, suffix, strict=False)) if a != b),
        min(len(generated), len(suffix)),
    )
    text = _decoder(loaded)
    return {
        "probe": probe["id"], "repeats": probe["repeats"], "exact": generated == suffix, "suffix_tokens": len(suffix),
        "leading_tokens": leading, "matched_tokens": matched, "matched_share": matched / len(suffix),
        "nats_per_token": float(-np.mean(log_probability[half - 1 : -1], dtype=np.float64)),
        "prefix": text(prefix[1:]), "suffix": text(suffix), "generated": text(generated),
    }  # fmt: skip


def _decoder(loaded: Any) -> Any:
    """Tokens → text; the ids themselves for a model without a tokenizer."""
    if loaded.tokenizer is None:
        return lambda tokens: " ".join(map(str, tokens))
    return lambda tokens: loaded.tokenizer.decode(tokens, skip_special_tokens=False)


def longest_shared_run(a: Sequence[int], b: Sequence[int]) -> int:
    """Tokens of the longest run that stands in both, one after the other.

    >>> longest_shared_run([1, 2, 3, 4], [9, 2, 3, 7])
    2
    """
    return SequenceMatcher(None, a, b, autojunk=False).find_longest_match().size


def _realised(model: Model, planted: Sequence[Mapping[str, Any]], probes: Probes) -> dict[str, int] | None:
    """Copies of each probe that the model read, by its `order.json`; None if it has none, or it names others."""
    if not model.path("order.json").is_file():
        return None
    return realised_repeats(model.json("order.json"), planted, digest_of(probes))


# --- the curve ---


def _point(config: MemorisationConfig, rows: Sequence[Mapping[str, Any]], repeats: int, work: Work) -> dict[str, Any]:
    """All probes of one number of repeats."""
    here = [row for row in rows if row["repeats"] == repeats]
    recalled = sum(row["exact"] for row in here)
    low, high = wilson(recalled, len(here))
    nats = np.array([row["nats_per_token"] for row in here])
    drawn = work.rng(f"nats {repeats}").integers(0, len(nats), (config.bootstrap, len(nats)))
    nats_low, nats_high = np.percentile(nats[drawn].mean(axis=1), [2.5, 97.5])
    return {
        "repeats": repeats, "realised_mean": float(np.mean([row["realised"] for row in here])), "probes": len(here),
        "recalled": recalled, "recall": recalled / len(here), "low": low, "high": high,
        "matched_share": float(np.mean([row["matched_share"] for row in here])),
        "nats_per_token": float(nats.mean()), "nats_low": float(nats_low), "nats_high": float(nats_high),
    }  # fmt: skip


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """95 % interval of a share; never outside 0–1, and honest at 0 of n and n of n, where the usual one has no width.

    Source:
        Wilson 1927, Probable inference (J. Am. Stat. Assoc. 22); recommended for small n by Brown, Cai and DasGupta
        2001, Interval estimation for a binomial proportion (Statist. Sci. 16(2)).

    >>> wilson(0, 5)[0], round(wilson(0, 5)[1], 3)
    (0.0, 0.434)
    """
    share, z2 = successes / trials, Z95**2
    middle = (share + z2 / (2 * trials)) / (1 + z2 / trials)
    half = Z95 / (1 + z2 / trials) * math.sqrt(share * (1 - share) / trials + z2 / (4 * trials**2))
    return max(0.0, middle - half) if successes else 0.0, min(1.0, middle + half) if successes < trials else 1.0


def _summary(rows: Sequence[Mapping[str, Any]], curve: Sequence[Mapping[str, Any]], known: bool) -> dict[str, Any]:
    """What was found, in numbers and in plain words, whatever it is."""
    least, most = curve[0], curve[-1]
    planted, read = (sum(row[name] for row in rows) for name in ("repeats", "realised"))
    return {
        "probes": len(rows), "recalled": sum(point["recalled"] for point in curve), "most_repeats": most["repeats"],
        "recall_at_most_repeats": most["recall"], "recall_unseen": None if least["repeats"] else least["recall"],
        "nats_per_token_at_most_repeats": most["nats_per_token"],
        "nats_per_token_at_least_repeats": least["nats_per_token"],
        "copies_planted": planted, "copies_read": read, "order_known": known,
        "found": [_said_of_recall(curve), _said_of_nats(least, most), _said_of_order(planted, read, known)],
    }  # fmt: skip


def _said_of_recall(curve: Sequence[Mapping[str, Any]]) -> str:
    count, recalled = (sum(point[name] for point in curve) for name in ("probes", "recalled"))
    if not recalled:
        return f"The model recites none of the {count} passages word for word."
    shares = ", ".join(f"{point['recalled']} of {point['probes']} at {point['repeats']}" for point in curve)
    return f"The model recites {recalled} of the {count} passages word for word; by repeats planted: {shares}."


def _said_of_nats(least: Mapping[str, Any], most: Mapping[str, Any]) -> str:
    sentence = f"A passage planted {most['repeats']} times costs it {most['nats_per_token']:.2f} nats a token"
    if least is most:
        return f"{sentence}."
    apart = most["nats_high"] < least["nats_low"] or least["nats_high"] < most["nats_low"]
    return (
        f"{sentence}, one planted {least['repeats']} times {least['nats_per_token']:.2f}; their 95 % intervals "
        f"{'are apart' if apart else 'overlap'}."
    )


def _said_of_order(planted: int, read: int, known: bool) -> str:
    if not known:
        return f"Its data order has no domain `{DOMAIN}` of these passages: all numbers are of unseen text."
    return f"By its data order it read {read:,} whole copies; {planted:,} were planted."


def cost(config: MemorisationConfig, inputs: dict[str, Any]) -> Estimate:
    """Two floating-point operations a parameter and token; the probes' own number isn't known before they are made."""
    parameters = inputs["model"].parameters.get("total", 0)
    tokens = max(inputs["probes"].tokens, 1)
    return Estimate(
        flops=2.0 * parameters * tokens, memory_bytes=4 * parameters, seconds=4 + 2.0 * parameters * tokens / 1e10
    )


def touches(artifact: Findings, ids: Collection[str]) -> Touched:
    """Nothing: findings hold probes, and what the model made of them; documents reach it only through the model."""
    return Touched()
