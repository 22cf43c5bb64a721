"""The tree of errors: as drawn, explained, and whole after a trip between processes."""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from allmend.kinds import errors
from allmend.kinds.errors import AllmendError, MissingExtraError, RecipeError, nearest

CLASSES = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, AllmendError)]


def test_the_drawing_is_the_tree() -> None:
    drawn = re.findall(r"^([│├└─ ]*)(\w+) +(?:(\d+)  |exit code)", errors.__doc__ or "", re.M)
    depths = {name: len(branch) // 4 for branch, name, _ in drawn}
    assert depths == {cls.__name__: len(cls.__mro__) - len(AllmendError.__mro__) for cls in CLASSES}
    above: dict[int, str] = {}
    for branch, name, code in drawn:
        depth = len(branch) // 4
        above[depth] = name
        cls: Any = getattr(errors, name)
        if depth:
            assert cls.__mro__[1].__name__ == above[depth - 1]
            assert cls.exit_code == int(code), name


@pytest.mark.parametrize("cls", CLASSES)
def test_an_error_survives_the_way_out_of_a_worker_process(cls: type[AllmendError]) -> None:
    error = cls("x.yaml:3", "no file") if issubclass(cls, RecipeError) else cls("no file")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is cls and str(again) == str(error) and again.exit_code == cls.exit_code


def test_a_recipe_error_begins_with_its_place() -> None:
    assert str(RecipeError("x.yaml:3  steps.a", "no file b")) == "x.yaml:3  steps.a: no file b"


def test_a_missing_extra_names_the_package_and_the_command() -> None:
    message = str(MissingExtraError.of("tokenizers", "train"))
    assert "tokenizers" in message and "pip install 'allmend[train]'" in message


def test_the_nearest_name_is_offered_else_what_there_is() -> None:
    assert nearest("extrct", ["extract", "crawl"]) == " Did you mean `extract`?"
    assert nearest("zzz", ["b", "a"]) == " There is: a, b."
    assert nearest("zzz", []) == " There is none yet."
    assert nearest("zzz", map(str, range(20))).endswith("… (20 in all).")
