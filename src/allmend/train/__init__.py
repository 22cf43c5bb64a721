"""Loop, optimisers, schedules, data order, checkpoints, monitors, ladder."""

from allmend.kinds import Step
from allmend.train import hooks
from allmend.train.config import PretrainConfig
from allmend.train.order import Domain, Order, Stage
from allmend.train.past import VERSION
from allmend.train.pretrain import pretrain
from allmend.train.record import Part, Record
from allmend.train.schedules import SCHEDULES

STEPS: dict[str, Step] = {
    "pretrain": Step(
        pretrain, version=VERSION, cost=hooks.cost, shrink=hooks.shrink, touches=hooks.touches, ranks=True
    ),
}  # fmt: skip

__all__ = ["SCHEDULES", "STEPS", "Domain", "Order", "Part", "PretrainConfig", "Record", "Stage"]
