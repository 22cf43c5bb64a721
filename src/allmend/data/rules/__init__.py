"""The family of policy rules: one file a member, one line here. Annotators state values, rules decide."""

from __future__ import annotations

import importlib

from allmend.data.rule import Rule

RULES = {
    "at_least": "AtLeast",
    "at_most": "AtMost",
    "no_refusal": "NoRefusal",
    "one_copy": "OneCopy",
    "open_licence": "OpenLicence",
    "redact": "Redact",
}


def rule_class(name: str) -> type[Rule]:
    """The class of a rule in `RULES`."""
    return getattr(importlib.import_module(f"{__name__}.{name}"), RULES[name])
