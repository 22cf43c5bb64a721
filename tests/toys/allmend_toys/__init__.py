"""A third-party room: toy steps by which the tests drive the waist through the same entry point as a real room."""

from allmend.kinds import Estimate, Step, Touched
from allmend_toys import ranks, steps

STEPS = {
    "crawl": Step(steps.crawl, version=1),
    "split": Step(steps.split, version=1),
    "keep_clean": Step(steps.keep_clean, version=1, cost=lambda config, inputs: Estimate(seconds=1, tokens=10)),
    "count": Step(steps.count, version=1),
    "mixtures": Step(steps.mixtures, version=1),
    "train": Step(
        steps.train,
        version=1,
        shrink=steps.shrink_train,
        touches=lambda artifact, ids: Touched(documents=len(ids), first_step=3),
    ),
    "evaluate": Step(steps.evaluate, version=1),
    "compare": Step(steps.compare, version=1),
    "secretive": Step(steps.secretive, version=1),
    "noisy": Step(steps.noisy, version=1),
    "rough": Step(steps.noisy, version=1, reproducible="tolerance"),
    "slow": Step(steps.slow, version=1),
    "tiny": Step(steps.tiny, version=1),
    "ranks": Step(ranks.ranks, version=1, ranks=True),
}
