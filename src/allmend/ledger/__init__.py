"""Stores artifacts by digest; lineage, claims, verify, push/pull, gc."""

from allmend.ledger.claims import Claim, Source, agrees, print_number, read_claims, recompute, write_claims
from allmend.ledger.compare import Cause, causes, differences, short_value, sources
from allmend.ledger.gc import Collected, collect
from allmend.ledger.index import Index
from allmend.ledger.layout import Transferred
from allmend.ledger.lease import Lease
from allmend.ledger.lookup import Found, ancestors, children, locate, resolve
from allmend.ledger.manifest import Entry, Manifest, Reference, build_key, digests_of
from allmend.ledger.names import Named, Names
from allmend.ledger.pull import pull
from allmend.ledger.push import push
from allmend.ledger.shown import ReportProblem, verify_report
from allmend.ledger.store import Ledger, Stored, link
from allmend.ledger.verify import Problem, repair, verify

__all__ = [
    "Cause",
    "Claim",
    "Collected",
    "Entry",
    "Found",
    "Index",
    "Lease",
    "Ledger",
    "Manifest",
    "Named",
    "Names",
    "Problem",
    "Reference",
    "ReportProblem",
    "Source",
    "Stored",
    "Transferred",
    "agrees",
    "ancestors",
    "build_key",
    "causes",
    "children",
    "collect",
    "differences",
    "link",
    "digests_of",
    "locate",
    "print_number",
    "pull",
    "push",
    "read_claims",
    "recompute",
    "repair",
    "resolve",
    "short_value",
    "sources",
    "verify",
    "verify_report",
    "write_claims",
]
