"""Recipe, plan, run, engines, shrink, withdraw, progress; knows no room by name."""

from allmend.flow.engine import Engine, cores
from allmend.flow.outside import project_root
from allmend.flow.plan import Graph, estimate
from allmend.flow.progress import Bars, Plain
from allmend.flow.recipe import load_recipe
from allmend.flow.rooms import all_steps, find_step
from allmend.flow.run import Options, run
from allmend.flow.schema import recipe_schema
from allmend.flow.shrink import shrink_recipe
from allmend.flow.spec import RecipeHead
from allmend.flow.withdraw import Selector, Withdrawal, undo, withdraw
from allmend.flow.work import Work, run_alone
from allmend.flow.yaml import read_yaml

__all__ = [
    "Bars", "Engine", "Graph", "Options", "Plain", "RecipeHead", "Selector", "Withdrawal", "Work", "all_steps", "cores", "estimate", "find_step",
    "load_recipe", "project_root", "read_yaml", "recipe_schema", "run", "run_alone", "shrink_recipe", "undo", "withdraw",
]  # fmt: skip
