"""Counts in closed form: against published names, and against what a module really holds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from allmend.kinds.errors import UsageError
from allmend.model import FAMILIES, Shape, build, count_parameters, shape_of
from allmend.model import shapes as file_of_shapes
from allmend.model.decoder import Decoder
from allmend.model.shapes import family_of

PRESETS = [(family, preset) for family in FAMILIES for preset in family_of(family).presets]
PUBLISHED = [(family, preset) for family, preset in PRESETS if family_of(family).presets[preset].published]


def held(decoder: Decoder) -> int:
    return sum(parameter.numel() for parameter in decoder.parameters())


@pytest.mark.parametrize(("family", "preset"), PUBLISHED)
def test_a_released_size_is_within_one_per_cent_of_its_name(family: str, preset: str) -> None:
    published = family_of(family).presets[preset].published
    assert count_parameters(shape_of(family, preset))["total"] == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(("family", "preset"), PRESETS)
def test_the_closed_form_is_what_the_module_holds(family: str, preset: str) -> None:
    shape = shape_of(family, preset)
    with torch.device("meta"):
        decoder = Decoder(shape)
    decoder.tie()
    assert count_parameters(shape)["total"] == held(decoder)


def test_a_small_module_holds_what_the_closed_form_says(shape: Shape) -> None:
    decoder = Decoder(shape)
    counted = count_parameters(shape)
    vocabulary = {id(each.weight): each.weight.numel() for each in (decoder.lm_head, decoder.model.embed_tokens)}
    assert counted["total"] == counted["active"] == held(decoder)
    assert counted["non_embedding"] == held(decoder) - sum(vocabulary.values())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("preset", "about"), [("tiny", 1e6), ("small", 1e7), ("proxy", 2.6e8)])
def test_the_sizes_of_ours_are_about_what_they_are_called(family: str, preset: str, about: float) -> None:
    assert count_parameters(shape_of(family, preset))["total"] == pytest.approx(about, rel=0.1)


def test_a_recipe_may_give_another_vocabulary_and_context() -> None:
    shape = shape_of("apertus", "tiny", vocab=500, context=64)
    assert (shape.vocab, shape.context) == (500, 64)
    assert build("apertus", "tiny", vocab=500, context=64, seed=1).shape == shape


def test_the_table_of_families_and_its_folder_agree() -> None:
    folder = Path(file_of_shapes.__file__).parent / "families"
    assert sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__") == sorted(FAMILIES)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_names_its_sources(family: str) -> None:
    member = family_of(family)
    assert member.source
    assert all(preset.source for preset in member.presets.values())


def test_a_misspelt_family_or_preset_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean `apertus`"):
        shape_of("apertos", "tiny")
    with pytest.raises(UsageError, match="Did you mean `small`"):
        shape_of("llama", "smal")
