"""Words for messages."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: object, known: Iterable[str], *, plenty: str | None = None) -> str:
    """Returns " Did you mean 'x'?", or what is known when nothing is near.

    Args:
        word: What was received.
        known: What would have worked.
        plenty: Said instead of the list of all known words, where that list is long.
    """
    known = sorted(known)
    near = difflib.get_close_matches(str(word).lower(), known, n=1, cutoff=0.6)
    if not near:  # `classes` for `num_classes`, `size` for `kernel_size`
        near = [other for other in known if len(str(word)) > 3 and str(word).lower() in other][:1]
    if near:
        return f" Did you mean {near[0]!r}?"
    return f" {plenty}." if plenty else f" Known: {', '.join(known)}."
