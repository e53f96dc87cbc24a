"""Networks that learn to describe their input: autoencoders and variational autoencoders."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.autoencoders.parts import decoder, encoder

__all__ = ["decoder", "encoder"]
