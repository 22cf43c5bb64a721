"""Small shapes that every test here shares, and tokens to put through them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
torch = pytest.importorskip("torch", reason="needs the package torch")

from allmend.kinds import MARKERS, SPECIAL_TOKENS  # noqa: E402
from allmend.model.shapes import RopeScaling, Shape  # noqa: E402

VOCAB = 97


def small_shape(family: str, **other: Any) -> Shape:
    """Two layers of odd sizes: 4 query heads, 2 key heads."""
    sizes = {
        "family": family, "layers": 2, "width": 24, "ffn": 40, "heads": 4, "kv_heads": 2, "head_width": 6,
        "vocab": VOCAB,        "context": 64, "rope_theta": 1e4,
    }  # fmt: skip
    return Shape(**{**sizes, **other})


SHAPES = {
    "apertus": small_shape("apertus"),
    "apertus one key head, tied": small_shape("apertus", kv_heads=1, tied=True),
    "apertus stretched": small_shape(
        "apertus", rope_scaling=RopeScaling(factor=8.0, original_context=16), rope_theta=50.0
    ),
    "llama": small_shape("llama"),
    "llama every head its keys, tied": small_shape("llama", kv_heads=4, tied=True),
    "llama stretched": small_shape("llama", rope_scaling=RopeScaling(factor=4.0, original_context=32), rope_theta=50.0),
}


@pytest.fixture(params=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> Shape:
    return SHAPES[request.param]


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A byte-level BPE with the fixed special tokens and markers, trained on three lines."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, special_tokens=[*SPECIAL_TOKENS, *MARKERS], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(
        ["All human beings are born free", "tous les êtres humains", "The the THE the"], trainer
    )
    tokenizer.add_tokens([AddedToken(each, special=False, normalized=False) for each in MARKERS])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast"}
    config |= {"bos_token": "<bod>", "eos_token": "<eod>", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
