"""The simple method beside a language model: counts of the characters that follow the last few.

Interpolated with Witten-Bell weights (T. C. Bell, J. G. Cleary, I. H. Witten, "Text compression", 1990; method C): a
context that was followed by many different characters trusts the shorter one below it more.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

ORDER = 6  # characters, the one foreseen included
MOST_CHARACTERS = 2_000_000  # of the training text, its end
ANY_CHARACTER = 20.09  # bits that name a character of Unicode, for one the training text does not have


class CharacterNgrams:
    """Chances of the next character.

    Args:
        text: The training text.
        order: Characters of the longest context and the one foreseen.
    """

    def __init__(self, text: str, order: int = ORDER):
        text = text[-MOST_CHARACTERS:]
        self.order = order
        self.alphabet = set(text)
        self.counts: list[dict[str, Counter]] = [defaultdict(Counter) for _ in range(order)]
        for length, table in enumerate(self.counts):
            for place in range(length, len(text)):
                table[text[place - length : place]][text[place]] += 1
        self.totals = [{context: found.total() for context, found in table.items()} for table in self.counts]

    def chance(self, context: str, character: str) -> float:
        """Returns the probability of a character behind a context."""
        chance = 1 / (len(self.alphabet) + 1)
        for length, (table, totals) in enumerate(zip(self.counts, self.totals, strict=True)):
            behind = context[len(context) - length :] if length else ""
            if len(behind) < length or behind not in totals:
                break
            found, different = table[behind], len(table[behind])
            chance = (found[character] + different * chance) / (totals[behind] + different)
        return chance

    def bits(self, text: str, start: int) -> np.ndarray:
        """Returns the bits of each character of `text[start:]`, those before it being context."""
        import numpy as np

        reach = self.order - 1
        chances = [self.chance(text[max(0, i - reach) : i], text[i]) for i in range(start, len(text))]
        strange = [character not in self.alphabet for character in text[start:]]
        return -np.log2(chances) + ANY_CHARACTER * np.array(strange, float)
