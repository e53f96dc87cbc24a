"""Sequences out of a trained model, token by token."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.generation import decoder
from kerazoo.generation.beam import beam_search, greedy
from kerazoo.generation.sampling import generate, probabilities, stepper_of
from kerazoo.generation.stepper import State, Stepper, reorder

__all__ = [
    "State",
    "Stepper",
    "beam_search",
    "decoder",
    "generate",
    "greedy",
    "probabilities",
    "reorder",
    "stepper_of",
]
