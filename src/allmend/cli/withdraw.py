"""`allmend withdraw`"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from allmend.cli.bytes_bar import counted
from allmend.cli.options import Json, Workspace, open_ledger, print_json

if TYPE_CHECKING:
    from allmend.flow import Withdrawal

SHOWN = 12
"""Documents, copies and languages printed; `--json` has all."""


def withdraw(
    host: Annotated[str | None, typer.Option("--host", help="All documents of this host.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="The documents at this address.")] = None,
    document: Annotated[str | None, typer.Option("--document", help="The document with this id.")] = None,
    licence: Annotated[str | None, typer.Option("--licence", help="All documents under this licence.")] = None,
    source: Annotated[str | None, typer.Option("--source", help="All documents of this source.")] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why; it stays in the record.")] = "",
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="Say what a run of this recipe would rebuild.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Record nothing, only say what it touches.")] = False,
    undo: Annotated[int | None, typer.Option("--undo", help="Cancel the withdrawal of this number.")] = None,
    with_copies: Annotated[
        bool, typer.Option("--with-copies", help="Their duplicates at other addresses too.")
    ] = False,
    workspace: Workspace = None,
    json: Json = False,
) -> None:
    """Record that documents are withdrawn, and say what they touch."""
    from allmend import flow
    from allmend.kinds.errors import UsageError

    ledger = open_ledger(workspace)
    selector = flow.Selector(host, url, document, licence, source)
    asked: dict[str, Any] = {"dry_run": dry_run, "root": flow.project_root(Path.cwd() / "_")}
    asked["recipes"] = [recipe] if recipe else []
    if undo is None:
        done = flow.withdraw(ledger, selector, reason, with_copies=with_copies, **asked)
    elif selector.given() or with_copies:
        raise UsageError("--undo takes a number and nothing that selects documents.")
    else:
        done = flow.undo(ledger, undo, reason, **asked)
    if json:
        print_json({**asdict(done), "touched": _sums(done)})
    else:
        _print(done, ledger.root / "withdrawals.jsonl", undo)


def _sums(done: Withdrawal) -> list[dict[str, Any]]:
    """Documents, bytes and tokens (of the tokenizer that made most) by language and domain."""
    sums: dict[tuple[str, str], list[int]] = {}
    for one in done.documents:
        row = sums.setdefault((one.language or "", one.domain or ""), [0, 0, 0])
        for index, value in enumerate((1, one.bytes or 0, max(one.tokens.values(), default=0))):
            row[index] += value
    names = ("language", "domain", "documents", "bytes", "tokens")
    return [dict(zip(names, (*key, *sums[key]), strict=True)) for key in sorted(sums)]


def _print(done: Withdrawal, file: Path, undone: int | None) -> None:
    _print_record(done, file, undone)
    sums = _sums(done)
    total = [sum(row[name] for row in sums) for name in ("documents", "bytes", "tokens")]
    print(f"\n{counted(total[0], 'document')}, {counted(total[1], 'byte')}, {counted(total[2], 'token')}")
    print(f"  {'language':12} {'domain':16} {'documents':>10} {'bytes':>12} {'tokens':>12}")
    for row in sums[:SHOWN]:
        language, domain = row["language"] or "–", row["domain"] or "–"
        print(f"  {language:12} {domain:16} {row['documents']:>10,} {row['bytes']:>12,} {row['tokens']:>12,}")
    _print_rest(len(sums))
    for one in done.documents[:SHOWN]:
        print(f"  {one.id}  {one.url or ''}")
    _print_rest(len(done.documents))
    _print_copies(done)
    _print_affected(done)
    _print_next(done, undone)


def _print_rest(count: int) -> None:
    if count > SHOWN:
        print(f"  … and {count - SHOWN:,} more (--json has all)")


def _print_record(done: Withdrawal, file: Path, undone: int | None) -> None:
    if done.number is None:
        print("Nothing is recorded: this is a dry run.")
    elif undone is not None:
        print(f"Withdrawal {undone} is undone by record {done.number} in {file}.")
    else:
        print(
            f"Recorded as withdrawal {done.number} in {file}. Undo it: allmend withdraw --undo {done.number} --reason …"
        )
    if done.already:
        print(f"{done.already:,} more were withdrawn already.")


def _print_copies(done: Withdrawal) -> None:
    if done.copies:
        print(f"\n{len(done.copies):,} copies at other addresses stay; take them too: --with-copies")
        for one in done.copies[:SHOWN]:
            print(f"  {one.id}  {one.url or ''}")
        _print_rest(len(done.copies))


def _print_affected(done: Withdrawal) -> None:
    headings = {
        "rebuilt": "The next run builds anew what follows from them:",
        "pinned": "These follow from them and stay as they are, until a run with `compact: true` in the recipe's head:",
        "holds": "These hold them too and stay: they come before the decision (to be erased on request, later):",
    }
    for fate, heading in headings.items():
        found = [each for each in done.affected if each.fate == fate]
        if found:
            print(f"\n{heading}")
        for each in found:
            print(f"  {', '.join(each.names)} ({each.kind} {each.digest[:12]}){_touched(each.touched)}")


def _touched(touched: Any) -> str:
    if touched is None or not (touched.documents or touched.shards or touched.first_step is not None):
        return ""
    told = [counted(touched.documents, "document")]
    told += [counted(touched.tokens, "token")] if touched.tokens else []
    told += [f"parts {', '.join(touched.shards)}"] if touched.shards else []
    if touched.first_step is not None:
        told.append(f"first seen in step {touched.first_step:,}")
        restart = touched.restart
        told.append(
            "no checkpoint from before that" if restart is None else f"newest checkpoint from before that: {restart:,}"
        )
    return ": " + ", ".join(told)


def _print_next(done: Withdrawal, undone: int | None) -> None:
    for name, states in done.rebuilds.items():
        groups = {state: [step for step, found in states.items() if found == state] for state in ("to build", "pinned")}
        if not groups["to build"]:
            print(f"\nA run of {name} builds nothing: all is there.")
            continue
        print(f"\nA run of {name} builds at most: {', '.join(groups['to build'])}")
        print("  (parts that no document touches are reused; what comes out equal stops there)")
        if groups["pinned"]:
            print(f"  stays pinned: {', '.join(groups['pinned'])}")
    for note in done.notes:
        print(f"\nNote: {note}.")
