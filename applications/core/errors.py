"""The one exception whose text is meant for the user's eyes."""

import difflib
from collections.abc import Iterable


class UserError(ValueError):
    """One clear sentence for the user: what was wrong, what was received, what would work."""


def nearest(word: str, words: Iterable[str]) -> str:
    """Returns " Did you mean 'x'?" for the closest of `words`, or an empty string."""
    close = difflib.get_close_matches(word, list(words), n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""
