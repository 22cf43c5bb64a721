"""Every schedule on its own examples, and the rates of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

import allmend.train.schedules as schedules
from allmend.train.schedules import SCHEDULES, schedule_class
from tests.train.conftest import config_of


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_a_schedule_gives_its_own_examples_and_names_its_source(name: str) -> None:
    cls = schedule_class(name)
    assert cls.source and cls.examples  # type: ignore[attr-defined]
    for (step, steps), factor in cls.examples.items():  # type: ignore[attr-defined]
        assert cls().factor(step, steps) == pytest.approx(factor)  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_a_schedule_never_rises_and_stays_a_share(name: str, steps: int) -> None:
    schedule = schedule_class(name)()
    factors = [schedule.factor(step, steps) for step in range(steps)]  # type: ignore[attr-defined]
    assert factors == sorted(factors, reverse=True) and min(factors) > 0 and max(factors) <= 1


def test_table_and_folder_agree() -> None:
    files = {path.stem for path in Path(schedules.__file__).parent.glob("*.py")} - {"__init__"}
    assert files == set(SCHEDULES) and list(SCHEDULES) == sorted(SCHEDULES)


def test_warm_up_rises_to_the_peak_and_the_rest_is_the_schedules() -> None:
    config = config_of(lr=1.0, warmup_share=0.1, schedule={"use": "wsd", "cooldown_share": 0.2})
    rates = [config.rate(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[10:81] == [1.0] * 71 and rates[85] == pytest.approx(0.5)


def test_a_schedule_is_part_of_the_identity_and_its_default_is_not() -> None:
    from allmend.kinds import canonical

    assert "schedule" not in canonical(config_of()) and canonical(config_of(schedule="wsd")) == canonical(config_of())
    assert canonical(config_of(schedule="cosine"))["schedule"] == {"class": "Cosine"}
    changed = canonical(config_of(schedule={"use": "wsd", "cooldown_share": 0.5}))
    assert changed["schedule"] == {"class": "Wsd", "cooldown_share": 0.5}
