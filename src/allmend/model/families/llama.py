"""Llama: pre-norm RMSNorm, gated SiLU, no biases. EuroLLM is of this shape.

Ratios of the EuroLLM sizes: ffn = 2.67–3 × width, 2–6 query heads a key head, head width 128, untied. Presets of ours
keep 3 and 4, and make heads 32 or 64 wide. `tiny` ties its embeddings, else they would be most of it. EuroLLM-22B: a
card says 56 layers; 54 give the published 22.6 B.
"""

from __future__ import annotations

from allmend.model.shapes import Family, Preset, RopeScaling, Shape

_EURO = "EuroLLM (Martins et al. 2024, arXiv 2409.16235; 2025, arXiv 2506.04079) and the models' config.json"
_LLAMA = "Grattafiori et al. 2024 (arXiv 2407.21783), table 3; config.json of meta-llama/Llama-3.1-8B"
_STRETCHED = RopeScaling(factor=8.0, original_context=8192)
_OURS = "ours, by the ratios of the published sizes"


def _shape(
    layers: int, width: int, ffn: int, heads: int, kv_heads: int, vocab: int, context: int, tied: bool = False,
    rope_theta: float = 1e4, rope_scaling: RopeScaling | None = None,
) -> Shape:  # fmt: skip
    return Shape(
        family="llama", layers=layers, width=width, ffn=ffn, heads=heads, kv_heads=kv_heads, head_width=width // heads,
        vocab=vocab, context=context, rope_theta=rope_theta, rope_scaling=rope_scaling, norm_epsilon=1e-5, tied=tied,
    )  # fmt: skip


FAMILY = Family(
    model_type="llama",
    architecture="LlamaForCausalLM",
    feed_forward="gated_silu",
    qk_norm=False,
    norms=("input_layernorm", "post_attention_layernorm"),
    source=_LLAMA,
    presets={
        "tiny": Preset(shape=_shape(2, 128, 384, 4, 1, 4096, 128, tied=True), source=_OURS),
        "small": Preset(shape=_shape(7, 256, 768, 8, 2, 8192, 256), source=_OURS),
        "proxy": Preset(shape=_shape(18, 1024, 3072, 16, 4, 16_384, 2048), source=_OURS),
        "eurollm-1.7b": Preset(
            shape=_shape(24, 2048, 5632, 16, 8, 128_000, 4096), published=1_657_000_000, source=_EURO
        ),
        "eurollm-9b": Preset(
            shape=_shape(42, 4096, 12_288, 32, 8, 128_000, 4096), published=9_154_000_000, source=_EURO
        ),
        "eurollm-22b": Preset(
            shape=_shape(54, 6144, 16_384, 48, 8, 128_000, 4096), published=22_600_000_000, source=_EURO
        ),
        "llama-3.1-8b": Preset(
            shape=_shape(32, 4096, 14_336, 32, 8, 128_256, 131_072, rope_theta=5e5, rope_scaling=_STRETCHED),
            published=8_030_000_000,
            source=_LLAMA,
        ),
    },
)
