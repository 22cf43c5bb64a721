"""Designs swarms, fits, optimises, reuses: how much of what the model reads."""

from allmend.kinds import Step
from allmend.mix.laws import LAWS, law
from allmend.mix.mixture import NaturalConfig, TemperatureConfig, natural, temperature

STEPS = {
    "natural": Step(natural, version=1, pinned=True),
    "temperature": Step(temperature, version=1, pinned=True),
}

__all__ = ["LAWS", "STEPS", "NaturalConfig", "TemperatureConfig", "law", "natural", "temperature"]
