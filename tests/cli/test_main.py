"""The command line as a whole: its verbs, its exit codes, and what it says when one errs."""

from __future__ import annotations

import errno
import importlib.util
from pathlib import Path

import pytest

from allmend.cli.main import ROOM_VERBS, VERBS, main
from allmend.kinds import errors

TOP = [
    "run", "plan", "show", "why", "verify", "diff", "trace", "seen", "batch", "withdraw", "gc", "push", "pull", "steps",
    "schema", "new",
]  # fmt: skip
SHORT = ["serve"]
"""Names that rooms have without their room's name before them."""


def typed(*arguments: str) -> int:
    """Exit code of the command line."""
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return int(left.value.code or 0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "allmend.toml").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ALLMEND_DEBUG", raising=False)
    return tmp_path


def test_the_list_of_verbs() -> None:
    assert sorted(VERBS) == sorted([*TOP, *SHORT])


@pytest.mark.parametrize(
    ("verb", "name"),
    [(verb, verb) for verb in VERBS] + [(verb, f"{room}_{verb}") for room in ROOM_VERBS for verb in ROOM_VERBS[room]],
)
def test_a_verb_has_a_file_with_its_function(verb: str, name: str) -> None:
    assert callable(getattr(importlib.import_module(f"allmend.cli.{name}"), verb))


def test_help_names_every_verb_and_every_room_with_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("--help") == 0
    said = capsys.readouterr().out
    built = [verb for verb in VERBS if importlib.util.find_spec(f"allmend.cli.{verb}")]
    assert [name for name in [*built, *ROOM_VERBS] if f"\n  {name} " not in said] == []


def test_a_misspelt_verb_is_told_the_nearest_one(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert typed("verfy", "x") == 2
    assert capsys.readouterr().err == "`allmend` has no verb `verfy`. Did you mean `verify`?\n"
    assert typed("ledger", "idnex") == 2
    assert "Did you mean `index`?" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["show"], ["show", "--jsn", "x"], ["run", "recipes/none.yaml"], ["plan", "recipes/none.yaml"], ["show", "x/y"],
     ["steps", "data"], ["steps", "nowhere.extract"], ["run", "x.yaml", "--on", "slurm"],
     ["run", "x.yaml", "--engine", "ray"], ["new", "step", "x"], ["ledger", "index"]],
    ids=" ".join,
)  # fmt: skip
def test_bad_usage_is_exit_2_and_one_short_paragraph(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert typed(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == "" and 0 < len(err.splitlines()) <= 4
    assert "Traceback" not in err
    assert {path.name for path in folder.iterdir()} == {"allmend.toml"}


@pytest.mark.parametrize(
    ("error", "code"),
    [(errors.UsageError("no"), 2), (errors.CheckFailed("no"), 1), (errors.StepFailed("no"), 3),
     (errors.NotInLedgerError("no"), 2), (errors.DamagedError("no"), 1), (errors.Interrupted("no"), 130),
     (OSError(errno.ENOSPC, "full", "file"), 3)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_an_error_of_the_tree_leaves_with_its_code(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    monkeypatch.setattr("allmend.cli.schema.schema", _raising(error))
    assert typed("schema") == code
    assert "Traceback" not in capsys.readouterr().err


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("allmend.cli.schema.schema", _raising(AssertionError("7 rows")))
    with pytest.raises(AssertionError, match="7 rows"):
        main(["schema"])


def test_debug_shows_where_a_users_error_was_raised(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALLMEND_DEBUG", "")
    assert typed("--debug", "show", "x/y") == 2
    assert "Traceback" in capsys.readouterr().err


def _raising(error: Exception) -> object:
    def schema() -> None:
        raise error

    return schema
