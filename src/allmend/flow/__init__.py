"""Recipe, plan, run, engines, shrink, withdraw, progress; knows no room by name."""

from allmend.flow.engine import Engine, ProcessEngine, cores
from allmend.flow.outside import project_root
from allmend.flow.plan import Graph, Node, estimate
from allmend.flow.recipe import Recipe, RecipeHead, load_recipe
from allmend.flow.rooms import all_steps, find_step
from allmend.flow.run import Options, Watch, run
from allmend.flow.schema import recipe_schema
from allmend.flow.shrink import shrink_recipe
from allmend.flow.work import Work, run_alone

__all__ = [
    "Engine", "Graph", "Node", "Options", "ProcessEngine", "Recipe", "RecipeHead", "Watch", "Work", "all_steps", "cores", "estimate",
    "find_step", "load_recipe", "project_root", "recipe_schema", "run", "run_alone", "shrink_recipe",
]  # fmt: skip
