"""Captions as token numbers: one number per word, small enough to need no library."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from applications.core.errors import UserError
from applications.datasets.captions import words_of

if TYPE_CHECKING:
    import numpy as np

FILE = "vocabulary.json"


@dataclass(frozen=True)
class Vocabulary:
    """Words and their numbers: 0 is padding, then come the words in their order, the last one is the end of a text.

    Attributes:
        words: The known words.
        length: Tokens of a text, its end included; longer ones are cut.
    """

    words: tuple[str, ...]
    length: int

    @classmethod
    def learnt(cls, captions: Iterable[str]) -> Vocabulary:
        """Returns the words of some captions, in alphabetical order."""
        texts = [words_of(caption) for caption in captions]
        return cls(tuple(sorted({word for text in texts for word in text})), 1 + max(map(len, texts)))

    @classmethod
    def read(cls, folder: str | Path) -> Vocabulary:
        """Reads that of a run."""
        content = json.loads((Path(folder) / FILE).read_text(encoding="utf-8"))
        return cls(tuple(content["words"]), content["length"])

    @property
    def json(self) -> str:
        """The content of its file."""
        return json.dumps({"words": self.words, "length": self.length, "padding": 0, "end": self.size - 1})

    @property
    def size(self) -> int:
        """Number of tokens, padding and end included."""
        return len(self.words) + 2

    def encode(self, captions: Sequence[str]) -> np.ndarray:
        """Returns token numbers (captions, length) int32; unknown words are left out."""
        import numpy as np

        numbers = {word: number for number, word in enumerate(self.words, start=1)}
        ids = np.zeros((len(captions), self.length), np.int32)
        for row, caption in zip(ids, captions, strict=True):
            known = [numbers[word] for word in words_of(caption) if word in numbers][: self.length - 1]
            row[: len(known) + 1] = [*known, self.size - 1]
        return ids

    def check(self, prompt: str) -> None:
        """Refuses a prompt with a word that no training caption has.

        Raises:
            UserError: One sentence that names the words.
        """
        words = words_of(prompt)
        strangers = list(dict.fromkeys(word for word in words if word not in self.words))
        if not words:
            raise UserError("prompt: expected some words, received none.")
        if strangers:
            shown = ", ".join(map(repr, strangers))
            known = ", ".join(self.words) if len(self.words) <= 40 else f"{len(self.words)} words of {FILE}"
            raise UserError(f"prompt: no training caption has {shown}; the run knows {known}.")
        if len(words) >= self.length:
            raise UserError(f"prompt: expected at most {self.length - 1} words, received {len(words)}.")
