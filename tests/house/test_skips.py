"""In CI a skipped test fails the run, unless it needs a GPU (the hook in tests/conftest.py)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.table import ROOT

TEST = "import pytest\n\n@pytest.mark.skip(reason={reason!r})\ndef test_it(): ...\n"


@pytest.mark.parametrize("workers", ["0", "1"])
@pytest.mark.parametrize(
    ("ci", "reason", "code"), [("true", "needs chromium", 1), ("true", "needs a GPU", 0), ("", "needs chromium", 0)]
)
def test_a_skip_fails_ci_only(tmp_path: Path, ci: str, reason: str, code: int, workers: str) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text())
    (tmp_path / "test_it.py").write_text(TEST.format(reason=reason))
    command = [sys.executable, "-m", "pytest", "-q", f"--numprocesses={workers}", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, env={**os.environ, "CI": ci}, capture_output=True, text=True)
    assert done.returncode == code, done.stdout
    assert ("skipped, and CI allows no skip" in done.stdout) == bool(code)
    assert "1 skipped" in done.stdout.splitlines()[-1]
