"""`allmend schema`"""

from __future__ import annotations

import json


def schema() -> None:
    """A JSON Schema of recipes, for editors."""
    from allmend.flow import recipe_schema

    print(json.dumps(recipe_schema(), indent=2, ensure_ascii=False, sort_keys=True))
