"""Writes tokens with the exported parts of a language model, or of an encoder and decoder, one after the other.

usage: python write_tokens.py "5 3 8" 20      (token numbers of the prompt or the source, how many to write)

What a step remembers goes in and comes out: parts.json names the inputs `state`, and a step gives the logits and then
their new values. Inputs `from_reader` have their first values from the part that reads the source, all others begin
with zeros.
"""

import sys

import numpy as np
from runtime import about, load


def write(ids, count):
    """Returns the likeliest next token, `count` times over or until the end token comes."""
    facts = about()
    step, state, place = load(facts["step"]), {}, 0
    prompt = list(ids)
    if facts["reader"]:
        state = dict(zip(facts["from_reader"], load(facts["reader"])(source_ids=[ids]), strict=True))
        prompt = [facts["start_id"]]
    if facts["context"] and len(prompt) + count - 1 > facts["context"]:
        raise ValueError(f"the step keeps {facts['context']} tokens, {len(prompt) + count - 1} are asked for")
    state |= {name: step.zeros(name) for name in facts["state"] if name not in state}
    extra = [name for name in step.inputs if name not in state and name not in (facts["token"], "slot")]
    state |= {name: step.zeros(name) for name in extra}  # no padding in front of the prompt
    written = []
    while len(written) < count:
        token = prompt[place] if place < len(prompt) else written[-1]
        given = {facts["token"]: np.full_like(step.zeros(facts["token"]), token)}
        if "slot" in step.inputs:
            given["slot"] = [[place]]
        logits, *new = step(**given, **state)
        state |= zip(facts["state"], new, strict=True)
        place += 1
        if place < len(prompt):
            continue
        written.append(int(logits[0].argmax()))
        if written[-1] == facts["end_id"]:
            break
    return written


if __name__ == "__main__":
    print(*write([int(word) for word in sys.argv[1].split()], int(sys.argv[2])))
