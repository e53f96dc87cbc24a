"""One long text for a language model: the embedded documentation, or the user's .txt files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError, nearest
from applications.datasets.data import TEXT_NAMES
from applications.datasets.splits import SPLITS, check_fractions
from applications.datasets.text_files import read_text, sha256, text_files

if TYPE_CHECKING:
    import numpy as np

PIECE = 100  # characters; a split is a list of pieces
FEWEST_CHARACTERS = 2000


@dataclass(frozen=True, eq=False)
class StreamData:
    """One text, cut in order: training first, then validation, then test.

    Attributes:
        name, description, skipped, warnings, fingerprint: as in `Datasets`.
        text: the whole text.
        split: "train", "val", "test" -> numbers of pieces of `PIECE` characters, consecutive in each part.
        tokenizer: the `tokenizer.json` learnt from the training text, once there is one.
        labels, groups, class_names: none.
    """

    name: str
    description: str
    text: str
    split: dict[str, np.ndarray]
    skipped: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    tokenizer: str | None = None
    labels: None = None
    groups: None = None
    class_names: tuple[str, ...] = ()

    def span(self, split: str) -> tuple[int, int]:
        """Returns first character and end of a part."""
        pieces = self.split[split]
        if not len(pieces):
            return 0, 0
        return int(pieces[0]) * PIECE, min((int(pieces[-1]) + 1) * PIECE, len(self.text))

    def part(self, split: str) -> str:
        """Returns the text of a part."""
        start, stop = self.span(split)
        return self.text[start:stop]

    @property
    def sha256(self) -> str:
        """SHA-256 of the whole text."""
        return sha256(self.text)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that change with the text (not with the split)."""
        return self.sha256[:16]

    def about(self) -> dict[str, Any]:
        """Returns what later commands and the report must know about the data (`data.json`)."""
        return {
            "name": self.name,
            "description": self.description,
            "class_names": [],
            "splits": {name: len(self.part(name)) for name in self.split},
            "unit": "Characters",
            "sha256": self.sha256,
            "fingerprint": self.fingerprint,
            "warnings": list(self.warnings),
            "skipped": [list(entry) for entry in self.skipped],
        }


def load_stream(data: str, *, fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)) -> StreamData:
    """Loads one long text.

    Args:
        data: `pydoc` (embedded), a .txt file, or a folder of .txt files (joined in the order of their names, an empty
            line between two). Files are UTF-8.
        fractions: shares of training, validation and test, which follow each other in the text.

    Returns:
        The text.

    Raises:
        UserError: one sentence for the user.
    """
    check_fractions(fractions)
    if data in TEXT_NAMES:
        from applications.datasets.embedded.pydoc import pydoc_text

        text, name = pydoc_text(), data
        what = "Real English: Python's own documentation (pydoc_data of the standard library), its topics by name."
    else:
        text, name, what = _own(data)
    if len(text) < FEWEST_CHARACTERS:
        raise UserError(f"The text {data!r} has {len(text)} characters; at least {FEWEST_CHARACTERS} are needed.")
    return StreamData(
        name=name, description=f"{what} {len(text):,} characters.", text=text, split=_split(text, fractions)
    )


def _own(data: str) -> tuple[str, str, str]:
    path = Path(data).expanduser()
    if not path.exists() and len(path.parts) == 1 and not path.suffix:
        raise UserError(
            f"Unknown data {data!r}: neither an embedded text ({', '.join(TEXT_NAMES)}) nor a .txt file or folder that "
            f"exists.{nearest(data, TEXT_NAMES)}"
        )
    files = text_files(path) if path.is_dir() else [path]
    text = "\n\n".join(read_text(file).strip("\n") for file in files)
    count = f"{len(files)} file{'s' if len(files) > 1 else ''}"
    return text, path.stem, f"The user's own text {str(path)!r} ({count})."


def _split(text: str, fractions: tuple[float, float, float]) -> dict[str, np.ndarray]:
    import numpy as np

    pieces = -(-len(text) // PIECE)
    ends = [0, round(pieces * fractions[0]), round(pieces * (fractions[0] + fractions[1])), pieces]
    return {name: np.arange(ends[part], ends[part + 1]) for part, name in enumerate(SPLITS)}
