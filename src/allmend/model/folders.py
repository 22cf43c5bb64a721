"""Model folders as Hugging Face lays them out: `transformers` loads what is written; reading doesn't import it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from allmend.kinds import BOD, EOD, PAD, WITHDRAWN, load_tokenizer, write_json
from allmend.kinds.errors import DamagedError, UsageError
from allmend.model.decoder import Decoder
from allmend.model.device import device_of
from allmend.model.shapes import FAMILIES, RopeScaling, Shape, family_of, initial_std

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja")
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"


@dataclass(frozen=True)
class Loaded:
    """A model with its tokenizer, as `load_model` gives it."""

    module: Decoder
    tokenizer: Any
    """A `tokenizers.Tokenizer` that treats special tokens in text as text; None if the folder has none."""
    specials: dict[str, int]
    """`pad`, `bod`, `eod`, `withdrawn` → id, those that the model has."""
    folder: Path

    @property
    def shape(self) -> Shape:
        return self.module.shape


def save_model(module: Decoder, folder: Path, tokenizer_folder: Path | None = None) -> None:
    """Write `config.json`, `generation_config.json`, `model.safetensors` and, if given, the tokenizer's files.

    The same weights give the same bytes.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    if module.shape.tied:
        del weights["lm_head.weight"]
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})
    write_json(folder / "config.json", config_of(module.shape, str(module.lm_head.weight.dtype).removeprefix("torch.")))
    specials = {"bos_token_id": BOD, "eos_token_id": EOD, "pad_token_id": PAD}
    write_json(folder / "generation_config.json", {"_from_model_config": True, **specials})
    for name in TOKENIZER_FILES:
        if tokenizer_folder is not None and (tokenizer_folder / name).is_file():
            shutil.copyfile(tokenizer_folder / name, folder / name)


def config_of(shape: Shape, dtype: str) -> dict[str, Any]:
    """A shape as transformers' config.json."""
    family = family_of(shape.family)
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": shape.rope_theta}
    if scaling := shape.rope_scaling:
        rope |= {
            "rope_type": "llama3", "factor": scaling.factor, "low_freq_factor": scaling.low_frequency_factor,
            "high_freq_factor": scaling.high_frequency_factor,
            "original_max_position_embeddings": scaling.original_context,
        }  # fmt: skip
    return {
        "architectures": [family.architecture], "model_type": family.model_type, "dtype": dtype,
        "num_hidden_layers": shape.layers, "hidden_size": shape.width, "intermediate_size": shape.ffn,
        "num_attention_heads": shape.heads, "num_key_value_heads": shape.kv_heads, "head_dim": shape.head_width,
        "vocab_size": shape.vocab, "max_position_embeddings": shape.context, "rope_parameters": rope,
        "rms_norm_eps": shape.norm_epsilon, "tie_word_embeddings": shape.tied, "attention_bias": False,
        "attention_dropout": 0.0, "hidden_act": {"xielu": "xielu", "gated_silu": "silu"}[family.feed_forward],
        "initializer_range": initial_std(shape), "use_cache": True,
        "bos_token_id": BOD, "eos_token_id": EOD, "pad_token_id": PAD,
    }  # fmt: skip


def shape_from(config: dict[str, Any], where: Path) -> Shape:
    """A config.json as a shape.

    Raises:
        UsageError: a family, activation, bias or rotary scaling that this code doesn't compute.
        DamagedError: a size is missing.
    """
    by_type = {family_of(name).model_type: name for name in FAMILIES}
    name = by_type.get(config.get("model_type", ""))
    if name is None:
        raise UsageError(
            f"{where}: model_type {config.get('model_type')!r} is not known; there are: {', '.join(by_type)}."
        )
    for key in ("attention_bias", "mlp_bias"):
        if config.get(key):
            raise UsageError(f"{where}: {key} is true; models with biases can't be loaded.")
    rope = config.get("rope_parameters") or {
        "rope_theta": config.get("rope_theta"),
        **(config.get("rope_scaling") or {}),
    }
    heads = config.get("num_attention_heads", 0)
    try:
        return Shape(
            family=name, layers=config["num_hidden_layers"], width=config["hidden_size"],
            ffn=config["intermediate_size"], heads=heads, kv_heads=config.get("num_key_value_heads") or heads,
            head_width=config.get("head_dim") or config["hidden_size"] // heads, vocab=config["vocab_size"],
            context=config["max_position_embeddings"], rope_theta=float(rope.get("rope_theta") or 1e4),
            rope_scaling=_scaling(rope, where), norm_epsilon=config["rms_norm_eps"],
            tied=bool(config.get("tie_word_embeddings")),
        )  # fmt: skip
    except KeyError as error:
        raise DamagedError(f"{where}: {error} is missing; this isn't a whole model config.") from error


def _scaling(rope: dict[str, Any], where: Path) -> RopeScaling | None:
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return None
    if kind != "llama3":
        raise UsageError(f"{where}: rope_type {kind!r} can't be computed; there are: default, llama3.")
    return RopeScaling(
        factor=float(rope["factor"]), original_context=rope["original_max_position_embeddings"],
        low_frequency_factor=float(rope["low_freq_factor"]), high_frequency_factor=float(rope["high_freq_factor"]),
    )  # fmt: skip


def load_model(folder: Path, device: str | None = "cpu", dtype: torch.dtype | None = None) -> Loaded:
    """Read a model folder: ours, or a released one of a known family. Weights are safetensors only, never pickles.

    Args:
        device: as `device_of` takes it; None is the accelerator if there is one.
        dtype: None keeps what the file holds.

    Raises:
        UsageError: no model folder, or of a family that isn't known here.
        DamagedError: weights are missing, extra or of another size than the config says.
    """
    where = folder / "config.json"
    if not where.is_file():
        raise UsageError(f"{folder}: there is no config.json, so this is no model folder.")
    config = json.loads(where.read_bytes())
    with torch.device("meta"):
        module = Decoder(shape_from(config, where))
    _fill(module, _read_weights(folder), folder / WEIGHTS)
    module.to(device_of(device), dtype).requires_grad_(False).eval()
    has_tokenizer = (folder / "tokenizer.json").is_file()
    tokenizer = load_tokenizer(folder) if has_tokenizer else None
    return Loaded(module, tokenizer, _specials(config, tokenizer), folder)


def _read_weights(folder: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    index = folder / WEIGHTS_INDEX
    names = [WEIGHTS]
    if not (folder / WEIGHTS).is_file() and index.is_file():
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    found: dict[str, Tensor] = {}
    for name in names:
        try:
            found |= load_file(folder / name)
        except (OSError, SafetensorError) as error:
            raise DamagedError(f"{folder / name}: these weights can't be read ({error}).") from error
    return found


def _fill(module: Decoder, weights: dict[str, Tensor], where: Path) -> None:
    """Put weights in place of a decoder's empty ones; every name and size must agree."""
    wanted = module.state_dict()
    if module.shape.tied:
        weights.pop("lm_head.weight", None)
        del wanted["lm_head.weight"]
    for name in sorted({*wanted, *weights}):
        have, want = (tuple(side[name].shape) if name in side else None for side in (weights, wanted))
        if name.endswith((".beta", ".eps")) and have is None:
            weights[name] = torch.empty(())
        elif have != want and not (have and want and have == (1, *want)):
            raise DamagedError(f"{where}: {name} has shape {have}, but by config.json it is {want}.")
    module.load_state_dict(weights, strict=False, assign=True)
    module.tie()
    module.restore_buffers()


def _specials(config: dict[str, Any], tokenizer: Any) -> dict[str, int]:
    """Ids by config, else by the tokenizer's names."""
    names = {"pad": ("pad_token_id", "<pad>"), "bod": ("bos_token_id", "<bod>"), "eod": ("eos_token_id", "<eod>")}
    found = {}
    for name, (key, token) in names.items():
        value = config.get(key)
        value = value[0] if isinstance(value, list) else value
        value = tokenizer.token_to_id(token) if value is None and tokenizer else value
        if value is not None:
            found[name] = value
    if tokenizer and tokenizer.token_to_id("<withdrawn>") == WITHDRAWN:
        found["withdrawn"] = WITHDRAWN
    return found
