"""Toy steps: lines of text files become documents, some are kept, mixtures are drawn, models are 'trained'."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from allmend.kinds import (
    Config,
    Corpus,
    Crawl,
    Documents,
    Evaluation,
    Findings,
    InputFiles,
    Mixture,
    Mixtures,
    Model,
    Parts,
    Secret,
    Seed,
    Shrink,
    Work,
    document_id,
    write_json,
)  # fmt: skip
from allmend.kinds.corpus import CORPUS, DOCUMENTS, REJECTED
from allmend.kinds.errors import Interrupted, StepFailed


class CrawlConfig(Config):
    """Text files, one page a line."""

    files: InputFiles


def crawl(config: CrawlConfig, work: Work) -> Crawl:
    """Copy the files in."""
    folder = work.folder / "warc"
    folder.mkdir()
    for file in config.files:
        (folder / file.name).write_bytes(file.path.read_bytes())
    return Crawl(work.folder)


class SplitConfig(Config):
    """Lines to documents."""

    parts: Parts
    min_chars: int = Field(1, ge=0, description="shorter lines are rejected")


def split(config: SplitConfig, crawl: Crawl, work: Work) -> Documents:
    """One document a line, cut by id."""
    return work.map(split_part, over=[crawl], cut=config.parts)


def split_part(config: SplitConfig, path: Path) -> dict[str, object]:
    _slow_down()
    rows, rejected = [], []
    lines = path.read_text().splitlines()
    for number, line in enumerate(lines):
        url = f"https://{path.stem}.example/{line.split()[0] if line.split() else number}"
        one = document_id(url, line)
        if len(line) < config.min_chars:
            rejected.append(
                {"id": one, "url": url, "source": path.name, "reason": "too_short", "detail": str(len(line))}
            )
            continue
        row = dict.fromkeys(DOCUMENTS.names)
        row.update(id=one, text=line, url=url, host=f"{path.stem}.example", source=path.name, bytes=len(line.encode()))
        rows.append(row)
    return {
        "documents": pa.Table.from_pylist(rows, DOCUMENTS),
        "rejected": pa.Table.from_pylist(rejected, REJECTED),
        "input_rows": len(lines),
    }


class KeepCleanConfig(Config):
    """Which word is forbidden."""

    forbidden: str = "badword"


def keep_clean(config: KeepCleanConfig, documents: Documents, work: Work) -> Corpus:
    """Keep documents without a forbidden word."""
    return work.map(keep_clean_part, over=[documents])


def keep_clean_part(config: KeepCleanConfig, documents: pa.Table) -> dict[str, pa.Table]:
    _slow_down()
    bad = pc.match_substring(documents["text"], config.forbidden)
    kept = documents.filter(pc.invert(bad))
    corpus = pa.table(
        {name: kept[name] if name in kept.column_names else pa.nulls(kept.num_rows) for name in CORPUS.names}
    )
    left = documents.filter(bad)
    rejected = pa.table({
        "id": left["id"], "url": left["url"], "source": left["source"],
        "reason": ["forbidden"] * left.num_rows, "detail": [config.forbidden] * left.num_rows,
    })  # fmt: skip
    return {"corpus": corpus.cast(CORPUS), "rejected": rejected.cast(REJECTED)}


class CountConfig(Config):
    """Nothing to choose."""


def count(config: CountConfig, corpus: Corpus, work: Work) -> Findings:
    """Documents and bytes a host, by SQL."""
    work.sql(
        "SELECT host, CAST(count(*) AS BIGINT) AS documents, CAST(sum(bytes) AS BIGINT) AS bytes FROM corpus GROUP BY host ORDER BY host",
        {"corpus": corpus},
        into="hosts",
    )
    write_json(
        work.folder / "summary.json",
        {"hosts": work.sql("SELECT DISTINCT host FROM corpus ORDER BY host", {"corpus": corpus}).num_rows},
    )
    return Findings(work.folder)


class MixturesConfig(Config):
    """How many mixtures."""

    count: int = 3
    seed: Seed


def mixtures(config: MixturesConfig, corpus: Corpus, work: Work) -> Mixtures:
    """A set of mixtures over two domains."""
    for index in range(config.count):
        share = (index + 1 + config.seed) / (config.count + 1 + config.seed)
        write_json(work.folder / f"{index:04d}" / "mixture.json", {"weights": {"a": share, "b": 1 - share}})
    return Mixtures(work.folder)


class TrainConfig(Config):
    """A model is a number."""

    lr: float = 0.1
    steps: int = Field(5, ge=1)
    seed: Seed
    colour: str = ""


def shrink_train(config: TrainConfig, shrink: Shrink) -> TrainConfig:
    return config.model_copy(update={"steps": max(1, config.steps // 2)})


def train(config: TrainConfig, work: Work, mixture: Mixture | None = None) -> Model:
    """Steps with a checkpoint each in `work.state`; goes on from the last one."""
    checkpoint = work.state / "step"
    done = int(checkpoint.read_text()) if checkpoint.is_file() else 0
    weights = mixture.weights() if mixture else {}
    with work.progress("train", config.steps, "steps") as bar:
        bar.advance(done)
        for step in range(done, config.steps):
            work.beat(step, "step")
            time.sleep(float(os.environ.get("TOY_STEP_PAUSE_S", "0")))
            checkpoint.write_text(str(step + 1))
            work.log(f"step {step}")
            bar.advance()
            if work.stop:
                raise Interrupted(f"stopped after step {step}")
    write_json(
        work.folder / "summary.json",
        {"value": config.lr * config.steps + sum(weights.values()), "mixture": str(weights)},
    )
    return Model(work.folder)


class EvaluateConfig(Config):
    """Nothing to choose."""


def evaluate(config: EvaluateConfig, model: Model, work: Work) -> Evaluation:
    write_json(work.folder / "summary.json", {"score": model.json("summary.json")["value"]})
    return Evaluation(work.folder)


class CompareConfig(Config):
    """Nothing to choose."""


def compare(config: CompareConfig, of: list[Evaluation], work: Work) -> Findings:
    """Scores in the order given."""
    write_json(
        work.folder / "summary.json",
        {"count": len(of), "scores": str([each.json("summary.json")["score"] for each in of])},
    )
    return Findings(work.folder)


class SecretiveConfig(Config):
    """A step that asks for a secret, and is careless with it."""

    key: Secret


def secretive(config: SecretiveConfig, work: Work) -> Findings:
    value = work.secret(config.key.name)
    print("the key is", value)
    work.log(f"using {value}")
    write_json(work.folder / "summary.json", {"letters": len(value)})
    return Findings(work.folder)


class NoisyConfig(Config):
    """A step that isn't reproducible."""


def noisy(config: NoisyConfig, work: Work) -> Findings:
    write_json(work.folder / "summary.json", {"time": str(time.time_ns())})
    return Findings(work.folder)


class SlowConfig(Config):
    """A step that waits until a test opens its gate, has a file to read meanwhile, or fails."""

    number: int = 0
    fail: str = ""
    file: InputFiles | None = None


def slow(config: SlowConfig, work: Work) -> Findings:
    """Waits for the file that TOY_GATE names, at most two minutes."""
    (work.state / "began").write_text("")
    gate, until = os.environ.get("TOY_GATE"), time.monotonic() + 120
    while gate and not Path(gate).exists() and time.monotonic() < until:
        if work.stop:
            raise Interrupted("stopped")
        time.sleep(0.02)
    if config.fail == "error":
        raise StepFailed("this step was told to fail")
    if config.fail == "bug":
        raise RuntimeError("a bug of this step")
    if config.fail == "kill":
        os.kill(os.getpid(), 9)
    write_json(work.folder / "summary.json", {"number": config.number})
    return Findings(work.folder)


class TinyConfig(Config):
    """The smallest step there is."""

    number: int = 0


def tiny(config: TinyConfig, work: Work) -> Findings:
    write_json(work.folder / "summary.json", {"number": config.number})
    return Findings(work.folder)


def _slow_down() -> None:
    """Time for a test to kill us in."""
    time.sleep(float(os.environ.get("TOY_PAUSE_S", "0")))
