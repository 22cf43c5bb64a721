"""Families and presets, ParScale, Goldfish masks, activations, adapters, generation, the one client of OpenAI-compatible endpoints."""  # noqa: E501

from __future__ import annotations

import importlib
from typing import Any

from allmend.model.shapes import FAMILIES, Shape, count_parameters, shape_of

_TORCH = {
    "Decoder": "decoder", "build": "decoder",
    "Loaded": "folders", "load_model": "folders", "save_model": "folders",
    "Drawn": "generation", "generate": "generation", "log_probabilities": "generation",
    "device_of": "device", "synchronize": "device",
    "IGNORED": "holes", "labels_of": "holes", "segments_of": "holes",
    "drops_compat": "goldfish", "drops_robust": "goldfish", "normal_ids": "goldfish",
}  # fmt: skip
"""Name → the file it comes from, imported when it is first asked for: `import allmend.model` costs no torch (3 s)."""

__all__ = [
    "FAMILIES", "IGNORED", "Decoder", "Drawn", "Loaded", "Shape", "build", "count_parameters", "device_of",
    "drops_compat", "drops_robust", "generate", "labels_of", "load_model", "log_probabilities", "normal_ids",
    "save_model", "segments_of", "shape_of", "synchronize",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_TORCH[name]}"), name)
