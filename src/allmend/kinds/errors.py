"""The one tree of errors. Each message is a paragraph: what failed, where, the value, what to do now.

AllmendError                     exit code
├── UsageError                   2   the command or the recipe is wrong; nothing ran
│   ├── RecipeError              2   with file, line and field
│   ├── MissingExtraError        2   an optional group of packages isn't installed
│   └── NewerFormatError         2   a ledger written by a newer Allmend
├── CheckFailed                  1   the thing asked about is not so
├── StepFailed                   3   a step stopped: bad data, full disk, a dead rank
│   ├── InputChangedError        3   a file from outside changed while it was read
│   ├── DriftError               3   the same key, other bytes
│   ├── LeaseLostError           3   another process took this step over
│   └── RankFailedError          3   one of several ranks died, stopped or failed
├── LedgerError                  3   the ledger can't give what was asked
│   ├── NotInLedgerError         2   no artifact of that name, digest or path
│   ├── DamagedError             1   bytes on disk aren't those that were written
│   └── TransferError            3   push or pull broke off; what arrived whole is kept
└── Interrupted                130   Ctrl-C or SIGTERM; says how to go on
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import ClassVar


class AllmendError(Exception):
    """Base of everything a user may see. `exit_code` is what the command line returns."""

    exit_code: ClassVar[int] = 3


class UsageError(AllmendError):
    """The command, recipe or config is wrong; nothing ran."""

    exit_code = 2


class RecipeError(UsageError):
    """A recipe is wrong, at a place that can be named.

    Args:
        where: `file:line  field`, or as much of it as is known.
        message: what was given, what is accepted, what to do.
    """

    def __init__(self, where: str, message: str) -> None:
        self.where = where
        self.message = message
        super().__init__(f"{where}: {message}")

    def __reduce__(self) -> tuple[type[RecipeError], tuple[str, str]]:
        return type(self), (self.where, self.message)


class MissingExtraError(UsageError):
    """A package group isn't installed; the message names it and the command that installs it."""

    @classmethod
    def of(cls, package: str, extra: str) -> MissingExtraError:
        return cls(
            f"this needs the package {package}, which isn't installed. Install it: pip install 'allmend[{extra}]'"
        )


class NewerFormatError(UsageError):
    """A ledger or artifact has a format that this version doesn't know."""


class CheckFailed(AllmendError):
    """The thing asked about is not so: a failed verify, a closed gate."""

    exit_code = 1


class StepFailed(AllmendError):
    """A step stopped. Finished parts and checkpoints are kept; the same command goes on from there."""


class InputChangedError(StepFailed):
    """A file from outside was rewritten while a step read it."""


class DriftError(StepFailed):
    """The same key made other bytes."""


class LeaseLostError(StepFailed):
    """Another process holds this step's lease now; what this one made is not committed."""


class RankFailedError(StepFailed):
    """One of several ranks died, was stopped or failed; all ranks were ended."""


class LedgerError(AllmendError):
    """The ledger can't give what was asked."""


class NotInLedgerError(LedgerError):
    """No artifact of that name, digest or path."""

    exit_code = 2


class DamagedError(LedgerError):
    """Bytes on disk aren't those that were written."""

    exit_code = 1


class TransferError(LedgerError):
    """Push or pull broke off. What arrived whole is kept; the same command goes on."""


class Interrupted(AllmendError):
    """Stopped by Ctrl-C or SIGTERM, with everything finished so far kept."""

    exit_code = 130


def nearest(given: str, known: Iterable[str]) -> str:
    """` Did you mean …?` with the closest known name, or the list of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(given, names, n=1, cutoff=0.6)
    if close:
        return f" Did you mean `{close[0]}`?"
    shown = ", ".join(names[:12]) + (f", … ({len(names)} in all)" if len(names) > 12 else "")
    return f" There is: {shown}." if names else " There is none yet."
