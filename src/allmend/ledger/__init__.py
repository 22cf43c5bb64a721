"""Stores artifacts by digest; lineage, claims, verify, push/pull, gc."""

from allmend.ledger.index import Index
from allmend.ledger.lease import Lease
from allmend.ledger.lookup import Found, ancestors, resolve
from allmend.ledger.manifest import Entry, Manifest, Reference, build_key, digests_of
from allmend.ledger.names import Named, Names
from allmend.ledger.store import Ledger, Stored

__all__ = [
    "Entry", "Found", "Index", "Ledger", "Lease", "Manifest", "Named", "Names", "Reference", "Stored", "ancestors", "build_key",
    "digests_of", "resolve",
]  # fmt: skip
