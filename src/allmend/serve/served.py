"""A model that is served, with what is known of it: from its folder, and from the ledger if it lies in one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from allmend.kinds.errors import AllmendError, NotInLedgerError, UsageError
from allmend.ledger import Found, Ledger, Manifest, Reference, resolve
from allmend.model import Loaded, count_parameters, load_model
from allmend.serve.sources import Sources

SMALL = 10_000_000
"""Parameters. Below it a model writes nothing readable, and the page says so."""


@dataclass(frozen=True)
class Served:
    """One model and, if there is an index of its training text, its sources.

    Attributes:
        id: what clients call it, such as `commons-demo/model`.
        digest: content digest of the artifact; empty for a folder outside a ledger.
        summary: its `summary.json`.
    """

    id: str
    loaded: Loaded
    digest: str = ""
    summary: Mapping[str, Any] = field(default_factory=dict)
    sources: Sources | None = None
    has_chat_template: bool = False

    @property
    def parameters(self) -> int:
        return count_parameters(self.loaded.shape)["total"]

    @property
    def is_small(self) -> bool:
        return self.parameters < SMALL

    @property
    def context(self) -> int:
        return self.loaded.shape.context

    @property
    def chat_note(self) -> str:
        """How it answers a chat, for its card."""
        if self.has_chat_template:
            return "This model has a chat template, which this server doesn't apply yet: use /v1/completions."
        return "A base model without a chat template: it answers a chat by continuing the text of its messages."

    def card(self) -> dict[str, Any]:
        """The model as `/v1/models` lists it."""
        about = {
            "kind": "base model", "chat": self.chat_note, "digest": self.digest or None, "parameters": self.parameters,
            "trained_tokens": self.summary.get("tokens"), "context": self.context, "trace": self.sources is not None,
        }  # fmt: skip
        created = int((self.loaded.folder / "config.json").stat().st_mtime)
        return {"id": self.id, "object": "model", "created": created, "owned_by": "allmend", "allmend": about}


def open_model(ledger: Ledger | None, name: str = "", index: str = "", device: str = "cpu") -> Served:
    """Load a model to serve, with the index of its training text.

    Args:
        ledger: where names are looked up; None: only folders.
        name: `recipe/step`, a digest prefix, or a model folder; empty: the only model of the ledger.
        index: the same for an index; empty: the only one of the model's recipe, or none.

    Raises:
        UsageError: no such model; or none is named, and there are several or none; or it has no tokenizer.
    """
    folder, found = Path(name), None
    if not name or not (folder / "config.json").is_file() or (folder / "manifest.json").is_file():
        found = _find(ledger, name, "Model")
        folder = found.stored.folder
    loaded = load_model(folder, device)
    if loaded.tokenizer is None:
        raise UsageError(f"{folder}: there is no tokenizer.json, so text can't be read or written with this model.")
    summary = folder / "summary.json"
    return Served(
        id=(found.name if found else "") or f"local/{folder.resolve().name}",
        loaded=loaded,
        digest=found.stored.manifest.digest if found else "",
        summary=json.loads(summary.read_bytes()) if summary.is_file() else {},
        sources=_sources(ledger, index, found),
        has_chat_template=_has_chat_template(folder),
    )


def _has_chat_template(folder: Path) -> bool:
    config = folder / "tokenizer_config.json"
    inside = config.is_file() and bool(json.loads(config.read_bytes()).get("chat_template"))
    return inside or (folder / "chat_template.jinja").is_file()


def _find(ledger: Ledger | None, name: str, kind: str) -> Found:
    if ledger is None:
        raise UsageError(f"{name or 'no model'}: there is no ledger here, and no model folder of that name.")
    name = name or _only(ledger, kind)
    found = resolve(ledger, name)
    if found.stored.manifest.kind != kind:
        raise UsageError(f"{name} is a {found.stored.manifest.kind}, not a {kind}.")
    return found


def _only(ledger: Ledger, kind: str) -> str:
    names = _named(ledger, kind)
    if len(names) != 1:
        there = f"there are several: {', '.join(names)}" if names else "there is none yet; `allmend run` makes one"
        raise UsageError(f"name the {kind.lower()} to serve: {there}.")
    return names[0]


def _named(ledger: Ledger, kind: str, recipe: str = "") -> list[str]:
    """Names of all artifacts of a kind, in order; unreadable ones are left out."""
    names = []
    for name in ledger.names.all():
        try:
            if name.startswith(recipe) and resolve(ledger, name).stored.manifest.kind == kind:
                names.append(name)
        except AllmendError:
            continue
    return sorted(names)


def _sources(ledger: Ledger | None, index: str, model: Found | None) -> Sources | None:
    from allmend.audit import open_searcher

    if not index and ledger is not None and model is not None and "/" in model.name:
        names = _named(ledger, "Index", model.name.split("/")[0] + "/")
        index = names[0] if len(names) == 1 else ""
    if not index:
        return None
    if ledger is None:
        raise NotInLedgerError(f"{index}: there is no ledger here to find an index in.")
    found = _find(ledger, index, "Index").stored
    same = _shards(found.manifest) == _shards(model.stored.manifest) if model else None
    return Sources(open_searcher(ledger, index), index, found.manifest.digest, same)


def _shards(manifest: Manifest) -> str | None:
    reference = manifest.inputs.get("shards")
    return reference.digest if isinstance(reference, Reference) else None
