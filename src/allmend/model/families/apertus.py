"""Apertus: pre-norm RMSNorm, QK-norm, one up projection with xIELU, no biases, untied embeddings.

Ratios of the published sizes: ffn = 5.25 × width, 4 (8B) or 8 (70B) query heads a key head, head width 128. Presets of
ours keep 5.25 and 4, and make heads 32 or 64 wide. `tiny` ties its embeddings, else they would be 71 % of it.

`8b` and `70b` stand as pretrained: context 4,096, rotary base 5e5. The released models were stretched afterwards to
65,536 tokens (base 1.2e7, llama3 scaling × 8); `load_model` reads that from their `config.json`.
"""

from __future__ import annotations

from allmend.model.shapes import Family, Preset, Shape

_PAPER = "Apertus technical report (arXiv 2509.14233); config.json of swiss-ai/Apertus-8B-2509 and -70B-2509"
_OURS = "ours, by the ratios of the published sizes"


def _shape(layers: int, width: int, heads: int, kv_heads: int, vocab: int, context: int, tied: bool = False) -> Shape:
    return Shape(
        family="apertus", layers=layers, width=width, ffn=width * 21 // 4, heads=heads, kv_heads=kv_heads,
        head_width=width // heads, vocab=vocab, context=context, rope_theta=5e5, norm_epsilon=1e-5, tied=tied,
    )  # fmt: skip


FAMILY = Family(
    model_type="apertus",
    architecture="ApertusForCausalLM",
    feed_forward="xielu",
    qk_norm=True,
    norms=("attention_layernorm", "feedforward_layernorm"),
    source=_PAPER,
    presets={
        "tiny": Preset(shape=_shape(2, 128, 4, 1, 4096, 128, tied=True), source=_OURS),
        "small": Preset(shape=_shape(6, 256, 8, 2, 8192, 256), source=_OURS),
        "proxy": Preset(shape=_shape(16, 1024, 16, 4, 16_384, 2048), source=_OURS),
        "8b": Preset(shape=_shape(32, 4096, 32, 8, 131_072, 4096), published=8_000_000_000, source=_PAPER),
        "70b": Preset(shape=_shape(80, 8192, 64, 8, 131_072, 4096), published=70_000_000_000, source=_PAPER),
    },
)
