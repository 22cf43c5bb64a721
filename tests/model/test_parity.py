"""The same numbers as transformers, on small random models, through folders on disk and offline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from allmend.kinds import load_tokenizer
from allmend.model import Shape, generate, load_model, save_model
from allmend.model.decoder import Decoder, build_shape

transformers = pytest.importorskip("transformers", reason="needs the package transformers")


def random_decoder(shape: Shape, seed: int) -> Decoder:
    """Norms and scalars away from their start too."""
    decoder = build_shape(shape, seed)
    noise = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=noise), alpha=0.05)
    return decoder


@pytest.fixture
def decoder(shape: Shape) -> Decoder:
    return random_decoder(shape, 5)


def test_transformers_loads_what_is_saved_with_equal_logits(
    decoder: Decoder, tmp_path: Path, tokenizer_folder: Path, random: np.random.Generator
) -> None:
    save_model(decoder, tmp_path, tokenizer_folder)
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    tokens_BS = torch.from_numpy(random.integers(0, decoder.shape.vocab, (2, 60)))
    with torch.no_grad():
        ours, logits = decoder(tokens_BS), theirs(tokens_BS).logits
    assert not report["missing_keys"] and not report["unexpected_keys"]
    assert logits.std() > 0.1
    torch.testing.assert_close(ours, logits, atol=1e-5, rtol=0)


def test_what_transformers_saves_is_loaded_with_equal_logits(
    decoder: Decoder, tmp_path: Path, random: np.random.Generator
) -> None:
    save_model(decoder, tmp_path / "ours")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "ours")
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    assert list((tmp_path / "theirs").glob("*.index.json"))
    tokens_BS = torch.from_numpy(random.integers(0, decoder.shape.vocab, (2, 60)))
    loaded = load_model(tmp_path / "theirs")
    assert loaded.shape == decoder.shape
    torch.testing.assert_close(loaded.module(tokens_BS), decoder(tokens_BS), atol=0, rtol=0)


def test_gradients_equal_those_of_transformers(decoder: Decoder, tmp_path: Path, random: np.random.Generator) -> None:
    save_model(decoder, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    tokens_BT = torch.from_numpy(random.integers(0, decoder.shape.vocab, (3, 31)))
    decoder(tokens_BT[:, :-1], labels_BS=tokens_BT[:, 1:]).mean().backward()
    theirs(tokens_BT, labels=tokens_BT).loss.backward()
    ours = dict(decoder.named_parameters())
    for name, parameter in theirs.named_parameters():
        wanted = parameter.grad.clone()
        if name.endswith("embed_tokens.weight") and not decoder.shape.tied:
            wanted[0] = ours[name].grad[0]  # theirs leaves out the row of <pad>, which no label ever follows
        worst = float((ours[name].grad - wanted).abs().max() / wanted.abs().max())
        assert worst < 1e-4, name


def test_greedy_tokens_equal_those_of_transformers(decoder: Decoder, tmp_path: Path) -> None:
    save_model(decoder, tmp_path)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    wanted = theirs.generate(
        torch.tensor([[1, 20, 30]]), max_new_tokens=20, do_sample=False, eos_token_id=None, pad_token_id=0
    )
    drawn = generate(load_model(tmp_path), [1, 20, 30], max_tokens=20, stop_tokens=())
    assert [each.token for each in drawn] == wanted[0, 3:].tolist()


def test_the_tokenizer_comes_along(tmp_path: Path, tokenizer_folder: Path, shape: Shape) -> None:
    save_model(build_shape(shape, 1), tmp_path, tokenizer_folder)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    text = "All humans <email-pii> êtres"
    assert theirs(text)["input_ids"] == load_tokenizer(tmp_path).encode(text).ids
    assert (theirs.bos_token_id, theirs.eos_token_id, theirs.pad_token_id) == (1, 2, 0)
    assert load_model(tmp_path).specials == {"pad": 0, "bod": 1, "eod": 2, "withdrawn": 3}
