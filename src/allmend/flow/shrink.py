"""`--shrink N[:TOKENS]`: the same recipe as a proxy. Each step's own hook says how it gets smaller."""

from __future__ import annotations

from dataclasses import replace

from allmend.flow.plan import Graph, estimate
from allmend.flow.spec import Recipe
from allmend.kinds import Shrink, parse_count
from allmend.kinds.errors import UsageError


def parse_shrink(text: str) -> Shrink:
    """`1M` or `1M:20k`.

    Raises:
        UsageError: not of that form.
    """
    counts = [parse_count(part) for part in text.split(":")]
    if not 1 <= len(counts) <= 2 or not all(isinstance(count, int) and count > 0 for count in counts):
        raise UsageError(
            f"--shrink {text}: write N or N:TOKENS, for instance 1M or 1M:20k (non-embedding parameters, training tokens)."
        )
    return Shrink(counts[0], counts[1] if len(counts) > 1 else None)


def shrink_recipe(recipe: Recipe, text: str) -> Recipe:
    """The recipe with every config shrunk by its step's hook, under the name `recipe@1M`.

    The recipe's own size is the largest model that the steps' `cost` hooks report.
    """
    shrink = parse_shrink(text)
    full = estimate(Graph(recipe, None))[1].parameters.get("non_embedding")
    shrink = replace(shrink, full_parameters=full)
    if full is not None and shrink.parameters > full:
        raise UsageError(
            f"--shrink {text}: the recipe's model has {full:,} non-embedding parameters, which is less already."
        )
    steps = {}
    for name, spec in recipe.steps.items():
        hook = spec.step.shrink
        configs = [hook(config, shrink) for config in spec.configs] if hook else spec.configs
        assert all(isinstance(config, spec.step.config) for config in configs), name
        steps[name] = replace(spec, configs=configs)
    return recipe.shrunk_by(str(shrink), steps)
