"""Says how well images fit texts, with the exported encoders of a CLIP.

usage: python match.py images.npy token_ids.npy      (prints for each image the number of its text)
"""

import sys

import numpy as np
from runtime import about, load


def scores(images, token_ids):
    """Returns (images, texts): the cosine of both vectors times the scale the model has learnt."""
    facts = about()
    one, other = (
        np.concatenate([part(**{next(iter(part.inputs)): rows[i : i + 1]})[0] for i in range(len(rows))])
        for part, rows in ((load(facts["image_encoder"]), images), (load(facts["text_encoder"]), token_ids))
    )
    one, other = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True) for vectors in (one, other))
    return facts["scale"] * one @ other.T


if __name__ == "__main__":
    print(*scores(np.load(sys.argv[1]), np.load(sys.argv[2])).argmax(axis=1))
