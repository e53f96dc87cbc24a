"""Into the space of codes and out of it: encode, decode, and walk from one picture to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from applications.core.pictures import LEAST, as_bytes, sheet

if TYPE_CHECKING:
    import keras


def encode(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Returns the codes (count, latent_dim) of an autoencoder for pictures."""
    from kerazoo.autoencoders import encoder

    return in_batches(encoder(model), pictures)


def decode(model: keras.Model, codes: np.ndarray) -> np.ndarray:
    """Returns the pictures an autoencoder makes of codes."""
    from kerazoo.autoencoders import decoder

    return in_batches(decoder(model), codes)


def reconstruct(model: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Returns what an autoencoder makes of pictures; nothing in it is random or changes."""
    return in_batches(model, pictures)


def in_batches(model: keras.Model, inputs: np.ndarray, size: int = 256) -> np.ndarray:
    """Returns the outputs of a model in float32, without one more compiled function."""
    import keras

    parts = [inputs[start : start + size] for start in range(0, len(inputs), size)]
    done = [keras.ops.convert_to_numpy(model(part, training=False)) for part in parts]
    return np.concatenate(done).astype(np.float32)


def between(start: np.ndarray, end: np.ndarray, share: float, spherical: bool) -> np.ndarray:
    """Returns codes on the way from `start` (0) to `end` (1).

    Args:
        start: Codes (count, size).
        end: The same.
        share: How far.
        spherical: Along the arc rather than the chord, for codes that are normal variates: those between two of them
            would be too short.

    References:
        White (2016), "Sampling generative networks", https://arxiv.org/abs/1609.04468
    """
    if not spherical:
        return (1 - share) * start + share * end
    norms = [np.linalg.norm(codes, axis=1, keepdims=True) for codes in (start, end)]
    cosine = (start * end).sum(axis=1, keepdims=True) / np.maximum(norms[0] * norms[1], 1e-12)
    angle = np.arccos(np.clip(cosine, -1, 1))
    flat = np.sin(angle) < 1e-6
    sine = np.where(flat, 1, np.sin(angle))
    first = np.where(flat, 1 - share, np.sin((1 - share) * angle) / sine)
    second = np.where(flat, share, np.sin(share * angle) / sine)
    return first * start + second * end


def walk(
    draw: Callable[[np.ndarray], np.ndarray], corners: np.ndarray, steps: int = 12, spherical: bool = False
) -> list[np.ndarray]:
    """Returns the frames of a walk through codes and back to the first, several walkers side by side.

    Args:
        draw: From codes (count, size) to pictures with pixels in [0, 1].
        corners: Where each walker passes, (corners, walkers, size).
        steps: Frames from one corner to the next.
        spherical: As in `between`.

    Returns:
        uint8 arrays (height, width, 3).
    """
    frames = []
    for corner, start in enumerate(corners):
        end = corners[(corner + 1) % len(corners)]
        for step in range(steps):
            pictures = as_bytes(draw(between(start, end, step / steps, spherical)))
            scale = max(1, -(-2 * LEAST // min(pictures.shape[1:3])))
            frames.append(sheet(pictures, len(pictures), scale))
    return frames
