"""Suites, runners, aggregation with uncertainty, ranking; never trains."""

from allmend.evaluate.kinds import KINDS
from allmend.evaluate.run import RunConfig, cost, run
from allmend.evaluate.statistics import interval
from allmend.evaluate.suite import Suite, load_suite
from allmend.kinds import Step

STEPS = {"run": Step(run, version=1, cost=cost)}

__all__ = ["KINDS", "STEPS", "RunConfig", "Suite", "interval", "load_suite", "run"]
