"""Sends arrays through the exported parts, one behind the other: encoder and decoder, or a generator alone.

usage: python run_chain.py inputs.npy outputs.npy

`run(values, first=1)` begins behind the first part, from codes: a decoder makes new samples out of normal noise.
"""

import sys

import numpy as np
from runtime import about, load


def run(values, first=0, **more):
    """Returns what the parts from number `first` on make of an array of samples; `more`: inputs of the last part."""
    files = about()["chain"][first:]
    results = []
    for index in range(len(values)):
        sample = values[index : index + 1]
        for file in files:
            part = load(file)
            names = [name for name in part.inputs if name not in more]
            given = {name: array[index : index + 1] for name, array in more.items() if name in part.inputs}
            sample = part(**{names[0]: sample}, **given)[0]
        results.append(sample)
    return np.concatenate(results)


if __name__ == "__main__":
    np.save(sys.argv[2], run(np.load(sys.argv[1])))
