"""`allmend verify --deep`: makes a report's sources anew, by the commands its claims name, and compares.

A claim's command is a stranger's text. Only `allmend run RECIPE` is run, with options that can't reach out of the
project: whoever runs it trusts their own recipes and rooms, not the report.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from allmend.cli.options import say
from allmend.kinds.errors import AllmendError, UsageError
from allmend.ledger import Claim, Ledger, Manifest, ReportProblem, agrees, read_claims, recompute

OPTIONS = ("--only", "--shrink")
"""Options of `allmend run` that a claim's command may have; each takes a value."""


def rerun(ledger: Ledger | None, folder: Path) -> list[ReportProblem]:
    """Run each different command of a report's claims in a fresh workspace, and look for the claims' sources there.

    A source made again to the same bytes stands for all its claims. Where a step promises no equal bits, the claim's
    query is asked of the new artifact, and must agree within the claim's tolerance.
    """
    from allmend.flow import project_root

    if not (folder / "claims.json").is_file():
        raise UsageError(f"--deep runs the commands of a report's claims, and {folder} has no claims.json.")
    claims = read_claims(folder / "claims.json").values()
    root = project_root(Path.cwd() / "_")
    problems = []
    for command in sorted({claim.command for claim in claims}):
        mine = [claim for claim in claims if claim.command == command]
        with tempfile.TemporaryDirectory(prefix="allmend-deep-") as name:
            try:
                fresh = _run(command, root, Path(name), ledger)
                problems += [problem for claim in mine for problem in _compare(claim, ledger, fresh)]
            except AllmendError as error:
                problems.append(ReportProblem("failed", "claims.json", f"claims {_ids(mine)}: {error}"))
    return problems


def _arguments(command: str, root: Path) -> list[str]:
    """The arguments after `allmend`; UsageError unless it is a run of a recipe in this project."""
    try:
        words = shlex.split(command)
    except ValueError:
        words = []
    options = dict(zip(words[3::2], words[4::2], strict=False))
    fine = words[:2] == ["allmend", "run"] and len(words) >= 3 and len(words) % 2 == 1 and set(options) <= set(OPTIONS)
    if not fine or not (root / words[2]).resolve().is_relative_to(root.resolve()) or words[2].startswith("-"):
        raise UsageError(
            f"the command {command[:200]!r} isn't run: --deep runs only `allmend run RECIPE`, of recipes in this "
            f"project, with no other options than {' and '.join(OPTIONS)}."
        )
    return words[1:]


def _run(command: str, root: Path, workspace: Path, ledger: Ledger | None) -> Ledger:
    arguments = _arguments(command, root)
    withdrawn = ledger.root / "withdrawals.jsonl" if ledger else workspace / "none"
    if withdrawn.is_file():
        shutil.copyfile(withdrawn, workspace / withdrawn.name)  # withdrawals are an input of the recipe
    say(f"--deep: {command}")
    program = [sys.executable, "-m", "allmend.cli.main", *arguments, "--workspace", str(workspace)]
    ended = subprocess.run(program, cwd=root, stdout=sys.stderr)
    if ended.returncode:
        raise UsageError(f"`{command}` ended with the exit code {ended.returncode}.")
    return Ledger(workspace, create=False)


def _compare(claim: Claim, ledger: Ledger | None, fresh: Ledger) -> list[ReportProblem]:
    """A claim against its source as it was made anew."""
    made = sorted(path.parent for path in fresh.objects.glob("*/*/manifest.json"))
    if any(folder.name == claim.artifact for folder in made):
        return []
    keys = {path.parent.name for path in ledger.objects.glob(f"*/{claim.artifact}")} if ledger else set()
    folder = next((folder for folder in made if folder.parent.name in keys), None)
    if folder is None:
        message = f"`{claim.command}` makes neither the artifact {claim.artifact[:12]} nor another of its key."
    elif Manifest.read(folder).reproducible == "bits":
        message = f"{claim.artifact[:12]} came out as {folder.name[:12]} now: the same key, other bytes."
    else:
        result = recompute(claim, folder / claim.file)
        if agrees(claim, result):
            return []
        message = f"it says {claim.text}, and on the artifact made anew the query gives {result}."
    return [ReportProblem("failed", "claims.json", f"claim {claim.id}: {message}")]


def _ids(claims: list[Claim]) -> str:
    return ", ".join(claim.id for claim in claims[:5]) + (f" and {len(claims) - 5} more" if len(claims) > 5 else "")
