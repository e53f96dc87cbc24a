"""Draws samples with the exported network of a diffusion model: DDIM, from noise to a picture.

usage: python denoise.py pictures.npy COUNT [LABEL]      (pictures in [-1, 1]; of one class where the model knows some)

The same seed gives what the `generate` of the model gives.
"""

import math
import sys

import numpy as np
from runtime import about, load


def drawn(facts, count, told=None, steps=50, guidance_scale=1.0, seed=0):
    """Returns `count` samples.

    `facts` is what parts.json says of the network; `told` are arrays of `count` rows by name, such as the labels, and
    what is missing says nothing. With a `guidance_scale` above 1 what is told is exaggerated.
    """
    network, left, nothing = load(facts["network"]), facts["alpha_bars"], facts["nothing"]
    told = dict(told or {})
    known = {name: shape for name, (shape, _) in network.inputs.items() if name not in ("input", "step")}
    silent = {name: np.full((count, *shape[1:]), nothing) for name, shape in known.items()}
    ways = [silent, silent | told] if told and guidance_scale != 1 else [silent | told]
    shape = tuple(network.inputs["input"][0][1:])
    x = np.stack([np.random.default_rng([seed, i]).standard_normal(shape, dtype="float32") for i in range(count)])
    numbers = np.linspace(len(left) - 1, 0, min(steps, len(left))).round().astype(int)
    for step, less in zip(numbers, [*numbers[1:], None], strict=True):
        signal, next_signal = left[step], 1.0 if less is None else left[less]
        found = [network(input=x, step=np.full(count, step), **way)[0] for way in ways]
        guided = found[0] if len(found) == 1 else found[0] + guidance_scale * (found[1] - found[0])
        clean = guided if facts["target"] == "clean" else (x - math.sqrt(1 - signal) * guided) / math.sqrt(signal)
        clean = clean if facts["limits"] is None else np.clip(clean, *facts["limits"])
        noise = (x - math.sqrt(signal) * clean) / math.sqrt(1 - signal)
        x = (math.sqrt(next_signal) * clean + math.sqrt(1 - next_signal) * noise).astype("float32")
    return x


if __name__ == "__main__":
    number = int(sys.argv[2])
    labels = {"label": np.full(number, int(sys.argv[3]))} if len(sys.argv) > 3 else None
    np.save(sys.argv[1], drawn(about()["denoiser"], number, labels))
