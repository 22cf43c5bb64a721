"""A wrong recipe is exit 2, one paragraph with file, line, field and cure, and nothing runs."""

from __future__ import annotations

import json

import pytest

from tests.flow.conftest import RECIPE, Project

HEAD = "recipe: bad\nsteps:\n"
CASES = {
    "an unknown key": (HEAD + "  a: {use: toy.tiny, numbr: 3}\n", "bad.yaml:3  steps.a.numbr: `toy.tiny` takes no `numbr`. Did you mean `number`?"),
    "a wrong type": (HEAD + "  a: {use: toy.tiny, number: soon}\n", 'bad.yaml:3  steps.a.number: given "soon": input should be a valid integer'),
    "a boolean for a number": (HEAD + "  a: {use: toy.tiny, number: true}\n", "steps.a.number: given true"),
    "a missing file": (HEAD + "  a: {use: toy.crawl, files: [texts/nope.txt]}\n", "steps.a.files: given"),
    "an empty glob": (HEAD + "  a: {use: toy.crawl, files: [texts/*.zip]}\n", "no file matches texts/*.zip"),
    "a cycle": (HEAD + "  a: {use: toy.evaluate, model: b}\n  b: {use: toy.train, mixture: c}\n  c: {use: toy.mixtures, corpus: a}\n", "wait for each other: "),
    "a step of itself": (HEAD + "  a: {use: toy.evaluate, model: a}\n", "wait for each other: a ← a"),
    "a wrong kind": (
        HEAD + "  a: {use: toy.crawl, files: [texts/*.txt]}\n  b: {use: toy.keep_clean, documents: a}\n",
        "bad.yaml:4  steps.b.documents: `a` is a Crawl, and `toy.keep_clean` takes Documents here",
    ),
    "a misspelt step": (HEAD + "  a: {use: toy.tiyn}\n", "the room `toy` has no step `tiyn`. Did you mean `toy.tiny`?"),
    "an unknown room": (HEAD + "  a: {use: tyo.tiny}\n", "there is no room `tyo`. Did you mean `toy`?"),
    "a misspelt input": (HEAD + "  a: {use: toy.tiny}\n  b: {use: toy.evaluate, model: aa}\n", "there is no step `aa`"),
    "a missing input": (HEAD + "  b: {use: toy.evaluate}\n", "the input `model` (Model) of `toy.evaluate` isn't given"),
    "a missing field": (HEAD + "  b: {use: toy.crawl}\n", "the field `files` is required"),
    "a duplicate key": (HEAD + "  a: {use: toy.tiny}\n  a: {use: toy.tiny}\n", "bad.yaml:4  steps.a: the key `a` stands here a second time (first on line 3)"),
    "a YAML bomb": ("recipe: bad\nx: &a [1, 1]\ny: &b [*a, *a]\nsteps: *b\n", "anchors and aliases"),
    "a tag": (HEAD + "  a: !!python/object/apply:os.system ['true']\n", "the tag"),
    "not YAML": ("recipe: [bad\n", "isn't YAML"),
    "a path outside": (HEAD + "  a: {use: toy.crawl, files: [/etc/passwd]}\n", "lies outside the project root"),
    "a path upwards": (HEAD + "  a: {use: toy.crawl, files: [../../*.txt]}\n", "lies outside the project root"),
    "an integer too large": (HEAD + "  a: {use: toy.tiny, number: 9007199254740993}\n", "steps.a.number: the integer 9007199254740993 is beyond"),
    "not a number": (HEAD + "  a: {use: toy.train, lr: .nan}\n", "bad.yaml:3  steps.a.lr: given .nan: a number must be finite"),
    "another name than the file's": ("recipe: good\nsteps:\n  a: {use: toy.tiny}\n", "it must equal the file's stem, 'bad'"),
    "an unknown head": ("recipe: bad\nsede: 3\nsteps:\n  a: {use: toy.tiny}\n", "unknown key `sede`. Did you mean `seed`?"),
    "parts not a power of two": ("recipe: bad\nparts: 12\nsteps:\n  a: {use: toy.tiny}\n", "must be a power of two"),
    "no steps": ("recipe: bad\n", "there are no steps"),
    "an unknown field of each": (HEAD + "  a: {foreach: [{n: 1}], use: toy.tiny, number: each.m}\n", "have no field `m`"),
    "each without foreach": (HEAD + "  a: {use: toy.tiny, number: each}\n", "needs a `foreach:`"),
    "many where one is taken": (
        HEAD + "  a: {foreach: [1, 2], use: toy.train, steps: each}\n  b: {use: toy.evaluate, model: a}\n",
        "`a` is many (a foreach)",
    ),
    "a secret held": (HEAD + "  a: {use: toy.secretive, key: sk-123}\n", "a secret is named, never held"),
    "an absent ledger name": (HEAD + "  a: {use: toy.evaluate, model: 'ledger:toy/model'}\n", "ledger"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_recipe_is_refused_before_anything_runs(project: Project, case: str) -> None:
    text, expected = CASES[case]
    project.allmend("run", project.recipe(text, "bad"), expect=2)
    assert expected in project.said
    assert "Traceback" not in project.said and len(project.said.strip().splitlines()) == 1
    assert not list((project.workspace / "objects").glob("*")) if project.workspace.exists() else True


def test_norwegian_is_a_language_and_times_are_text(project: Project) -> None:
    from allmend.flow.yaml import parse_yaml

    value = parse_yaml("[no, yes, on, 3e-4, 010, 12:30, 0o17, '7', ~, 1_000, 2026-11-23]", "x").value
    assert value == ["no", "yes", "on", 3e-4, 10, "12:30", 15, "7", None, "1_000", "2026-11-23"]


def test_another_place_than_local_says_what_it_comes_with(project: Project) -> None:
    project.allmend("run", "recipes/toy.yaml", "--on", "slurm", expect=2)
    assert "comes with the room `cluster`" in project.said


def test_a_data_root_opens_a_folder_outside(project: Project, tmp_path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "x.txt").write_text("w0 a line far away\n")
    recipe = project.recipe(HEAD + f"  a: {{use: toy.crawl, files: [{tmp_path}/far/*.txt]}}\n", "bad")
    project.allmend("run", recipe, expect=2)
    by_option = project.digests(recipe, "--data-root", str(tmp_path / "far"))
    (project.root / "allmend.toml").write_text('data_roots = ["../far"]\n')
    assert project.digests(recipe) == by_option


def test_a_ledger_of_a_newer_format_is_refused_and_named(project: Project) -> None:
    project.run("recipes/toy.yaml")
    (project.workspace / "ledger.json").write_text(json.dumps({"format": 2}))
    for command in (["run", "recipes/toy.yaml"], ["show", "toy/best"]):
        project.allmend(*command, expect=2)
        assert "format 2" in project.said and str(project.workspace) in project.said


def test_the_schema_accepts_good_recipes_and_refuses_bad_ones(project: Project) -> None:
    import jsonschema

    from allmend.flow.yaml import parse_yaml

    schema = json.loads(project.allmend("schema"))
    check = jsonschema.Draft202012Validator(schema)
    assert check.is_valid(parse_yaml(RECIPE, "x").value)
    for case in ("an unknown key", "a wrong type", "a misspelt step", "a missing input", "an unknown head", "no steps"):
        assert not check.is_valid(parse_yaml(CASES[case][0], "x").value), case
