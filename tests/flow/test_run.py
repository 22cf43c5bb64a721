"""Running recipes: what is reused, what is built, and that placement changes no byte."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from tests.flow.conftest import RECIPE, Project

TOY = "recipes/toy.yaml"


def test_a_second_run_builds_nothing(project: Project) -> None:
    project.run(TOY)
    assert all(row["reused"] for row in project.run(TOY).values())


def test_workers_hash_seed_and_folder_change_no_digest(project: Project, tmp_path: Path) -> None:
    one = project.digests(TOY, "--workers", "1", PYTHONHASHSEED="1")
    four = project.digests(TOY, "--workers", "4", "--workspace", str(tmp_path / "elsewhere"), PYTHONHASHSEED="2")
    assert one == four


def test_a_moved_project_keeps_all_keys(project: Project) -> None:
    before = project.run(TOY)
    project.root = project.root.rename(project.root.parent / "moved")
    after = project.run(TOY)
    assert {name: row["reused"] for name, row in after.items()} == dict.fromkeys(before, True)


def test_another_order_of_steps_is_the_same_recipe(project: Project) -> None:
    before = project.digests(TOY)
    head, _, steps = RECIPE.partition("steps:\n")
    project.recipe(head + "steps:\n" + "".join(reversed(steps.splitlines(keepends=True))))
    assert {name: row["reused"] for name, row in project.run(TOY).items()} == dict.fromkeys(before, True)


def test_a_renamed_step_is_no_other_artifact(project: Project) -> None:
    before = project.run(TOY)
    project.recipe(RECIPE.replace("hosts:", "where:"))
    after = project.run(TOY)
    assert after["where"]["reused"] and after["where"]["digest"] == before["hosts"]["digest"]


def test_the_seed_moves_only_steps_that_ask_for_it(project: Project) -> None:
    project.run(TOY)
    project.recipe(RECIPE.replace("seed: 3", "seed: 4"))
    made = {name for name, row in project.run(TOY).items() if not row["reused"]}
    assert made == {"swarm", *(f"{group}/000{n}" for group in ("swarm", "proxies", "scores") for n in range(3))}


def test_equal_bytes_upstream_stop_the_rebuild(project: Project) -> None:
    project.run(TOY)
    project.recipe(RECIPE.replace("lr: 0.5", "lr: 0.5, steps: 5"))  # the default, written out
    assert all(row["reused"] for row in project.run(TOY).values())
    project.recipe(RECIPE.replace("toy.keep_clean, documents", "toy.keep_clean, forbidden: badwor, documents"))
    made = {name for name, row in project.run(TOY).items() if not row["reused"]}
    assert made == {"corpus", "hosts", "swarm"}  # the swarm comes out equal, so nothing after it is built


def test_one_more_file_moves_only_the_parts_it_touches(project: Project) -> None:
    project.run(TOY)
    before = set((project.workspace / "parts").iterdir())
    (project.root / "texts" / "t4.txt").write_text("w0 one single line of text 4 fine\n")
    project.run(TOY)
    fresh = len(set((project.workspace / "parts").iterdir()) - before)
    assert fresh == 2  # the new file in `split`, one part of `keep_clean`


def test_a_foreach_over_a_set_gives_each_member_a_name(project: Project) -> None:
    steps = project.run(TOY)
    assert {name for name in steps if name.startswith(("proxies/", "swarm/"))} == {
        f"{group}/{index:04d}" for group in ("swarm", "proxies") for index in range(3)
    }  # fmt: skip
    assert project.allmend("show", "toy/proxies/0001", "--json")["kind"] == "Model"


def test_plan_says_what_a_run_will_do_and_writes_nothing(project: Project) -> None:
    planned = project.allmend("plan", TOY, "--json")
    assert planned["steps"]["crawl"]["state"] == "to build"
    assert planned["steps"]["proxies"]["state"] == "depends on swarm"
    assert not project.workspace.exists()
    project.run(TOY)
    assert {row["state"] for row in project.allmend("plan", TOY, "--json")["steps"].values()} == {"there"}


def test_only_builds_a_step_and_what_it_needs(project: Project) -> None:
    assert set(project.run(TOY, "--only", "documents")) == {"crawl", "documents"}


def test_a_set_of_three_hundred_members(project: Project) -> None:
    project.recipe(
        "recipe: big\nsteps:\n  grid: {foreach: {number: [%s]}, use: toy.tiny, number: each.number}\n"
        % ", ".join(map(str, range(300)))
    )
    assert len(project.run("recipes/big.yaml", "--workers", "2")) == 300
    assert all(row["reused"] for row in project.run("recipes/big.yaml").values())


def test_a_partner_who_pulled_just_the_last_artifact_builds_nothing_before_it(project: Project) -> None:
    line = project.recipe("\n".join(RECIPE.splitlines()[:8]).replace("recipe: toy", "recipe: line") + "\n")
    for name, row in project.run(line).items():
        if name != "hosts":
            _remove(project, f"line/{name}", Path(row["path"]))
    after = project.run(line)
    assert set(after) == {"hosts"} and after["hosts"]["reused"]


def _remove(project: Project, name: str, path: Path) -> None:
    """An artifact and its name, as if it had never been here."""
    shutil.rmtree(path.parent, ignore_errors=True)
    shutil.rmtree(project.workspace / "names" / f"{name}.name", ignore_errors=True)


def test_what_a_name_promises_is_made_again(project: Project) -> None:
    steps = project.run(TOY)
    shutil.rmtree(Path(steps["documents"]["path"]).parent)
    after = project.run(TOY)
    assert not after["documents"]["reused"] and after["documents"]["digest"] == steps["documents"]["digest"]
    assert after["best"]["reused"]


def test_again_builds_what_is_there_and_compares(project: Project) -> None:
    project.run(TOY)
    assert not project.run(TOY, "--again", "hosts")["hosts"]["reused"]
    project.recipe("recipe: noisy\nsteps:\n  noise: {use: toy.noisy}\n")
    project.run("recipes/noisy.yaml")
    project.allmend("run", "recipes/noisy.yaml", "--again", "noise", expect=3)
    assert "other bytes" in project.said


def test_a_tolerant_step_may_have_several_digests_and_the_name_keeps_the_first(project: Project) -> None:
    recipe = project.recipe("recipe: rough\nsteps:\n  noise: {use: toy.rough}\n")
    first = project.digests(recipe)["noise"]
    assert project.digests(recipe, "--again", "noise")["noise"] == first
    assert project.digests(recipe, "--again", "noise", "--accept")["noise"] != first


def test_shrink_runs_the_same_recipe_under_another_name(project: Project) -> None:
    steps = project.run(TOY, "--shrink", "1M:20k")
    value = json.loads((Path(steps["proxies/0000"]["path"]) / "summary.json").read_text())["value"]
    assert value == 0.5 * 2 + 1.0
    assert project.allmend("show", "toy@1M:20k/best", "--json")["kind"] == "Findings"


def test_a_recipe_that_extends_another_shares_all_that_is_equal(project: Project) -> None:
    project.run(TOY)
    variant = project.recipe("recipe: variant\nextends: toy\nsteps:\n  proxies: {lr: 0.7}\n  hosts: null\n")
    steps = project.run(variant)
    assert "hosts" not in steps and steps["corpus"]["reused"] and not steps["proxies/0000"]["reused"]


def test_secrets_reach_the_step_and_no_file(project: Project) -> None:
    recipe = project.recipe("recipe: quiet\nsteps:\n  asks: {use: toy.secretive, key: {secret: JUDGE_KEY}}\n")
    secret = "sk-very-secret-5150"
    project.run(recipe, JUDGE_KEY=secret)
    held = [path for path in project.root.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert held == [] and secret not in project.said
    project.allmend("run", recipe, "--again", "asks", expect=3)
    assert "JUDGE_KEY" in project.said
