"""`mix.natural` and `mix.temperature`: a mixture over the domains of shards, by a law."""

from __future__ import annotations

from allmend.kinds import Config, Field, InputFile, Mixture, Shards, Work, write_json
from allmend.kinds.errors import StepFailed, nearest
from allmend.mix.laws.natural import Natural
from allmend.mix.laws.temperature import Temperature

TOKENS = "SELECT domain, CAST(sum(length) AS BIGINT) AS tokens FROM documents GROUP BY domain ORDER BY domain"


class NaturalConfig(Config):
    """Which domains, and how often each may be read."""

    domains: InputFile | None = Field(
        None, description="text file of the domains to take, one a line, `#` begins a comment; default all"
    )
    max_epochs: float = Field(
        8.0, gt=0, description="a run that would read a domain more often is refused before it starts"
    )


class TemperatureConfig(NaturalConfig):
    """The same, with a temperature."""

    temperature: float = Field(
        2.0, gt=0, description="1 is natural; a large one gives small domains as much as large ones"
    )


def natural(config: NaturalConfig, shards: Shards, work: Work) -> Mixture:
    """Give each domain the share of samples that it has of the tokens."""
    return _write(config, shards, work, "natural", Natural())


def temperature(config: TemperatureConfig, shards: Shards, work: Work) -> Mixture:
    """Give each domain a share that lies between its share of the tokens and an equal one."""
    return _write(config, shards, work, "temperature", Temperature(temperature=config.temperature))


def _write(config: NaturalConfig, shards: Shards, work: Work, name: str, law: Natural | Temperature) -> Mixture:
    rows = work.sql(TOKENS, {"documents": shards})
    tokens = dict(zip(rows["domain"].to_pylist(), rows["tokens"].to_pylist(), strict=True))
    if config.domains is not None:
        tokens = _chosen(config.domains, tokens)
    if not tokens:
        raise StepFailed("the shards hold no documents, so there is nothing to mix.")
    value = {
        "format": 1,
        "law": name,
        "weights": law.weights(tokens),
        "tokens": tokens,
        "max_epochs": config.max_epochs,
    }
    write_json(work.folder / "mixture.json", value)
    return Mixture(work.folder)


def _chosen(file: InputFile, tokens: dict[str, int]) -> dict[str, int]:
    """Tokens of the domains that a file lists.

    Raises:
        StepFailed: a listed domain isn't in the shards, or stands twice; names the line.
    """
    found: dict[str, int] = {}
    for number, line in enumerate(file.path.read_text(encoding="utf-8").splitlines(), 1):
        domain = line.partition("#")[0].strip()
        if not domain:
            continue
        if domain not in tokens:
            raise StepFailed(
                f"{file.name}, line {number}: the shards have no domain `{domain}`.{nearest(domain, tokens)}"
            )
        if domain in found:
            raise StepFailed(f"{file.name}, line {number}: the domain `{domain}` stands here a second time.")
        found[domain] = tokens[domain]
    return dict(sorted(found.items()))
