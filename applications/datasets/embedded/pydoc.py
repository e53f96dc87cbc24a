"""Real English that needs no network: the documentation of Python in `pydoc_data.topics` of the standard library.

79 topics, about 465,000 characters (as many as Python's version has: the SHA-256 of the text is kept with every run).
Topics quote each other (`compound` holds most of `for`, `if` and `with`), which both uses must know: paragraphs for
classification are taken once, and the report of a language model says what it does on passages it has never seen.
"""

from __future__ import annotations

import random
import re

# What each family's topics are about, so that the family of a paragraph can be told from its words.
FAMILIES = {
    "statements": "assert assignment async augassign break class compound context-managers continue del else "
    "exceptions for function if pass raise return try while with",
    "expressions": "atom-identifiers atom-literals attribute-references await binary bitwise booleans calls "
    "comparisons conversions dict exprlists floating imaginary in integers lambda lists numbers operator-summary power "
    "shifting slicings subscriptions truth unary yield",
    "special methods": "attribute-access callable-types customization numeric-types sequence-types specialnames",
    "types": "bltin-code-objects bltin-ellipsis-object bltin-null-object bltin-type-objects objects specialattrs types "
    "typesfunctions typesmethods",
    "containers": "typesmapping typesseq typesseq-mutable",
    "strings": "formatstrings string-methods strings",
    "names and modules": "dynamic-features execmodel global id-classes identifiers import naming nonlocal typesmodules",
    "debugger": "debugger",
}
FEWEST_WORDS = 8
MOST_ALIKE = 0.5  # share of common word pairs above which two paragraphs are near-duplicates


def pydoc_text() -> str:
    """Returns all topics in the order of their names, an empty line between two."""
    from pydoc_data.topics import topics

    return "\n\n".join(topics[name] for name in sorted(topics))


def pydoc_paragraphs() -> tuple[list[str], list[str], dict[str, int]]:
    """Returns paragraphs, the family of each, and how many were left out for what reason.

    Left out are paragraphs of fewer than `FEWEST_WORDS` words, repetitions, paragraphs that stand in two families, and
    near-duplicates of an earlier paragraph. So no sentence of the test split is known from training, although
    neighbouring paragraphs of a topic are.
    """
    from pydoc_data.topics import topics

    families: dict[str, set[str]] = {}
    originals: dict[str, str] = {}
    left_out = {"too short": 0, "repeated": 0, "in two families": 0, "near-duplicates": 0}
    for family, names in FAMILIES.items():
        for name in names.split():
            for paragraph in topics.get(name, "").split("\n\n"):  # topics come and go between versions of Python
                words = re.findall(r"[a-z]+", paragraph.lower())
                if len(words) < FEWEST_WORDS:
                    left_out["too short"] += bool(words)
                    continue
                key = " ".join(words)
                left_out["repeated"] += key in families
                families.setdefault(key, set()).add(family)
                originals.setdefault(key, " ".join(paragraph.split()))
    single = [key for key, found in families.items() if len(found) == 1]
    left_out["in two families"] = len(families) - len(single)
    alike = near_duplicates(single)
    left_out["near-duplicates"] = len(alike)
    kept = [key for number, key in enumerate(single) if number not in alike]
    random.Random(0).shuffle(kept)  # a quick try takes the first ones, which should be of all families
    return [originals[key] for key in kept], [next(iter(families[key])) for key in kept], left_out


def near_duplicates(texts: list[str]) -> set[int]:
    """Returns the numbers of texts that share more than `MOST_ALIKE` of their word pairs with an earlier one."""
    import numpy as np
    from sklearn.feature_extraction.text import CountVectorizer

    counter = CountVectorizer(binary=True, ngram_range=(2, 2), token_pattern="[a-z]+", dtype=np.float32)
    pairs = counter.fit_transform(texts)
    common = (pairs @ pairs.T).tocoo()
    sizes = np.asarray(pairs.sum(axis=1)).ravel()
    shares = common.data / (sizes[common.row] + sizes[common.col] - common.data)
    return set(common.row[(common.col < common.row) & (shares > MOST_ALIKE)].tolist())
