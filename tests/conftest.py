"""In CI (`CI=true`) a skipped test fails the run: what a test needs is installed there. Only a GPU may be missing.

Property tests have no deadline: on a busy machine it would be a coin toss.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)
settings.load_profile("house")
MAY_BE_MISSING = "GPU"
"""A test that needs one says so in its reason: `needs a GPU`."""


def _not_allowed(config: pytest.Config) -> list[str]:
    """The skipped tests that CI doesn't allow, one line each."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") != "true" or hasattr(config, "workerinput") or reporter is None:
        return []
    reasons = {each.nodeid: _reason(each) for each in reporter.stats.get("skipped", [])}
    return sorted(f"{test}: {reason}" for test, reason in reasons.items() if MAY_BE_MISSING not in reason)


def _reason(report: Any) -> str:
    return str(report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if lines := _not_allowed(config):
        terminalreporter.section("skipped, and CI allows no skip but the GPU's", red=True)
        for line in lines:
            terminalreporter.line(line)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _not_allowed(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
