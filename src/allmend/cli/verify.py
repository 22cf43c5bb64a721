"""`allmend verify NAME`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allmend.cli.bytes_bar import bytes_bar, counted, size
from allmend.cli.options import Artifact, Json, Workspace, open_ledger, print_json, say

if TYPE_CHECKING:
    from allmend.ledger import Ledger, Problem, ReportProblem


def verify(
    artifact: Artifact,
    repair: Annotated[
        bool, typer.Option("--repair", help="Set what is damaged aside, so that the next run makes it again.")
    ] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="For a report: also run its claims' commands anew, in a fresh workspace.")
    ] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Check every byte of an artifact and of all it was made from; for a report, every number."""
    from allmend.kinds.errors import CheckFailed, UsageError

    ledger, folder = _find(artifact, workspace)
    problems, size_bytes = _check(ledger, folder)
    if repair:
        if ledger is None:
            raise UsageError(f"{folder} lies in no ledger, so nothing can be repaired. Fetch it again.")
        _repair(ledger, problems)
        problems, size_bytes = _check(ledger, folder)
    if deep:
        from allmend.cli.deep import rerun

        problems += rerun(ledger, folder)
    failed = [problem for problem in problems if problem.severity == "failed"]
    if json:
        rows = [{**asdict(problem), "message": str(problem)} for problem in problems]
        print_json({"sound": not failed, "path": str(folder), "bytes": size_bytes, "problems": rows})
    else:
        for problem in problems:
            print(f"{problem.severity}: {problem}")
    if failed:
        raise CheckFailed(f"{artifact} is not sound: {counted(len(failed), 'thing')} wrong.")
    if not json:
        print(_sentence(artifact, ledger, folder, size_bytes))


def _find(artifact: str, workspace: Path | None) -> tuple[Ledger | None, Path]:
    """The ledger, if there is one, and the artifact's folder; a report's folder may stand alone."""
    from allmend.flow import project_root
    from allmend.kinds.errors import DamagedError, LedgerError, NotInLedgerError
    from allmend.ledger import locate

    path = Path(artifact).absolute()
    alone = any((path / name).is_file() for name in ("claims.json", "manifest.json"))
    try:
        ledger = open_ledger(workspace)
    except LedgerError as error:
        if alone and not isinstance(error, DamagedError):
            return None, path
        raise
    try:
        return ledger, locate(ledger, artifact, project_root(Path.cwd() / "_"))[1]
    except NotInLedgerError:
        if alone:
            return ledger, path
        raise


def _check(ledger: Ledger | None, folder: Path) -> tuple[list[Problem | ReportProblem], int]:
    """What is wrong, and how many bytes were looked at."""
    from allmend.ledger import verify as verify_bytes
    from allmend.ledger import verify_report

    problems: list[Problem | ReportProblem] = []
    seen = 0
    if (folder / "manifest.json").exists() or not (folder / "claims.json").exists():
        with bytes_bar("verify") as progress:

            def follow(done: int, total: int) -> None:
                nonlocal seen
                seen = done
                progress(done, total)

            problems += verify_bytes(ledger, folder, follow)
    if _is_report(folder):
        problems += verify_report(ledger, folder)
    return problems, seen


def _is_report(folder: Path) -> bool:
    from allmend.kinds.errors import AllmendError
    from allmend.ledger import Manifest

    try:
        return (folder / "claims.json").is_file() or Manifest.read(folder).kind == "Report"
    except AllmendError:
        return False


def _repair(ledger: Ledger, problems: list[Any]) -> None:
    from allmend.ledger import Problem
    from allmend.ledger import repair as set_aside

    moved = set_aside(ledger, [problem for problem in problems if isinstance(problem, Problem)])
    for path in moved:
        say(f"set aside: {path}")
    if moved:
        say(f"It lies in {ledger.root / 'damaged'} now. `allmend run` makes again what is missing.")


def _sentence(artifact: str, ledger: Ledger | None, folder: Path, size_bytes: int) -> str:
    from allmend.ledger import Manifest, Stored, ancestors, read_claims

    parts = []
    if (folder / "manifest.json").exists():
        stored = Stored(folder, Manifest.read(folder))
        count = len(ancestors(ledger, stored)) if ledger else 1
        parts.append(f"{counted(count, 'artifact')} of {size(size_bytes)}, every byte as it was written")
    if _is_report(folder):
        parts.append(f"{counted(len(read_claims(folder / 'claims.json')), 'claim')}, each as its source gives it")
    return f"{artifact} is sound: {'; '.join(parts)}"
