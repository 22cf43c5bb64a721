"""A third-party room: toy steps by which the tests drive the waist through the same entry point as a real room."""

import os

from allmend.kinds import Estimate, Step, Touched
from allmend.ledger import lease
from allmend_toys import ranks, steps, withdrawal

if os.environ.get("TOY_QUICK_LEASES"):  # a test needn't wait 35 s to see a lease taken over
    lease.RENEW_S, lease.STALE_S = 0.2, 1.5

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
    "cluster": Step(withdrawal.cluster, version=1),
    "decide": Step(withdrawal.decide, version=1, apart=("withdrawals",)),
    "vocabulary": Step(withdrawal.vocabulary, version=1, pinned=True),
    "tokenize": Step(withdrawal.tokenize, version=1, touches=withdrawal.touches_shards),
    "read": Step(withdrawal.read, version=1, touches=withdrawal.touches_model),
}
