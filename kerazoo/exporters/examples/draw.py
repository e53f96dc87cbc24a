"""Draws a picture of each text with the exported parts of an unCLIP.

usage: python draw.py token_ids.npy pictures.npy      (pictures in [-1, 1])

The reader encodes the text, the prior draws embeddings of pictures that it may stand for, and the decoder draws the
picture of the one that fits best.
"""

import math
import sys

import numpy as np
from denoise import drawn
from runtime import about, load


def scaled(vectors):
    """Gives vectors the length sqrt(d)."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True) * math.sqrt(vectors.shape[-1])


def pictures(token_ids, candidates=2, guidance_scale=3.0, steps=50, seed=0):
    """Returns one picture for each row of token numbers."""
    facts = about()
    embedding, features = load(facts["reader"])(token_ids=token_ids)
    texts = {"embedding": scaled(embedding), "features": features}
    repeated = {name: np.repeat(rows, candidates, axis=0) for name, rows in texts.items()}
    found = scaled(drawn(facts["prior"], len(token_ids) * candidates, repeated, steps, seed=seed))
    found = found.reshape(len(token_ids), candidates, -1)
    closest = np.einsum("ncd,nd->nc", found, texts["embedding"]).argmax(axis=1)
    known = {"embedding": found[np.arange(len(found)), closest], "features": features, "token_ids": token_ids}
    told = {name: known[name] for name in facts["decoder"]["told"]}
    return drawn(facts["decoder"], len(token_ids), told, steps, guidance_scale, seed)


if __name__ == "__main__":
    np.save(sys.argv[2], pictures(np.load(sys.argv[1])))
