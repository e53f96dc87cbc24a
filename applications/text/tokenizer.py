"""Tokenisers: from text to token numbers and back, learnt from the training split alone.

Four kinds, all of the `tokenizers` library, so that one file (`tokenizer.json`) is all that another program needs:

* `char`: every character of the training text is a token; nothing is lost, new characters are unknown.
* `bpe`: byte-pair encoding on bytes (Sennrich et al. 2016, Radford et al. 2019); nothing is ever unknown.
* `word`: lower-case words and punctuation marks that occur at least twice.
* `wordpiece`: words cut into known pieces, and [CLS] and [SEP] around each text, as BERT reads them.

Token 0 is always [PAD]. Training is deterministic: counts are sorted, ties by the text of the token.
"""

from __future__ import annotations

import functools
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from applications.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import tokenizers

KINDS = ("char", "bpe", "word", "wordpiece")
PAD, UNK, CLS, SEP, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"
FILE = "tokenizer.json"
_SPECIAL = {
    "char": (PAD, UNK, MASK),
    "bpe": (PAD, UNK, MASK),
    "word": (PAD, UNK),
    "wordpiece": (PAD, UNK, CLS, SEP, MASK),
}
_BYTES = 256


class TextTokenizer:
    """A trained tokeniser.

    Args:
        text: The content of its `tokenizer.json`.
    """

    def __init__(self, text: str):
        self.json = text
        self._tokenizer: tokenizers.Tokenizer = library().Tokenizer.from_str(text)

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return self._tokenizer.get_vocab_size()

    @property
    def length(self) -> int | None:
        """Tokens that every text is cut and filled up to; None keeps texts as they are."""
        cut = self._tokenizer.truncation
        return None if cut is None else cut["max_length"]

    @functools.cached_property
    def vocabulary(self) -> dict[str, int]:
        """Token -> number."""
        return self._tokenizer.get_vocab()

    @property
    def unknown(self) -> int:
        """Number of [UNK]."""
        return self.vocabulary[UNK]

    @property
    def start(self) -> int:
        """Number of [CLS], with which a written text begins."""
        return self.vocabulary[CLS]

    @property
    def end(self) -> int:
        """Number of [SEP], with which a written text ends."""
        return self.vocabulary[SEP]

    @property
    def mask(self) -> int:
        """Number of [MASK]."""
        return self.vocabulary[MASK]

    @property
    def ordinary(self) -> np.ndarray:
        """Whether each token stands for text, (vocab_size,) bool: not [PAD], [UNK] and the like."""
        import numpy as np

        found = np.ones(self.vocab_size, bool)
        found[[self.vocabulary[token] for token in (PAD, UNK, CLS, SEP, MASK) if token in self.vocabulary]] = False
        return found

    def encode(self, text: str) -> list[int]:
        """Returns the token numbers of a text."""
        return self._tokenizer.encode(text).ids

    def encode_with_places(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Returns the token numbers of a text, int32, and where in the text each token begins."""
        import numpy as np

        found = self._tokenizer.encode(text)
        return np.array(found.ids, np.int32), np.array([start for start, _ in found.offsets], np.int64)

    def lengths(self, texts: Sequence[str]) -> np.ndarray:
        """Returns how many tokens each text has."""
        import numpy as np

        return np.array([len(found.ids) for found in self._tokenizer.encode_batch(list(texts))], np.int64)

    def batch(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """Returns the token numbers (texts, length) int32 of a tokeniser with a length, and which texts were cut."""
        import numpy as np

        found = self._tokenizer.encode_batch(list(texts))
        ids = np.array([one.ids for one in found], np.int32).reshape(len(found), self.length or -1)
        return ids, np.array([bool(one.overflowing) for one in found], bool)

    def decode(self, ids: Iterable[int]) -> str:
        """Returns the text of token numbers; special tokens are left out."""
        ordinary = self.ordinary
        return self._tokenizer.decode([int(i) for i in ids if ordinary[int(i)]])

    def unknown_characters(self, text: str) -> list[str]:
        """Returns the different characters of a text that a tokeniser of characters does not have."""
        if self.vocabulary[UNK] not in self.encode(text):
            return []
        return [character for character in dict.fromkeys(text) if character not in self.vocabulary]

    def uncut(self) -> TextTokenizer:
        """Returns one that neither cuts nor fills up."""
        tokenizer = library().Tokenizer.from_str(self.json)
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return TextTokenizer(_file(tokenizer))

    def with_ends(self) -> TextTokenizer:
        """Returns one that sets [CLS] in front of a text and [SEP] behind it: where a written text begins and ends."""
        from tokenizers import processors

        content = json.loads(self.json)
        vocabulary = content["model"]["vocab"]
        ends = [(token, vocabulary.setdefault(token, len(vocabulary))) for token in (CLS, SEP)]
        tokenizer = library().Tokenizer.from_str(json.dumps(content))
        tokenizer.post_processor = processors.TemplateProcessing(single=f"{CLS} $A {SEP}", special_tokens=ends)
        return TextTokenizer(_file(tokenizer))

    def with_length(self, length: int) -> TextTokenizer:
        """Returns one that cuts and fills up texts to a length, so that its numbers are a model's input as they are."""
        tokenizer = library().Tokenizer.from_str(self.json)
        tokenizer.enable_truncation(length)
        tokenizer.enable_padding(length=length, pad_id=0, pad_token=PAD)
        return TextTokenizer(_file(tokenizer))


def load_tokenizer(folder: str | Path, file: str = FILE) -> TextTokenizer:
    """Returns a tokeniser of a run; raises UserError where its file is missing."""
    path = Path(folder) / file
    if not path.is_file():
        raise UserError(f"'{path}' is missing: without the tokeniser of its training the model can read no text.")
    return TextTokenizer(path.read_text(encoding="utf-8"))


def train_tokenizer(kind: str, texts: Sequence[str], vocab_size: int) -> TextTokenizer:
    """Learns a tokeniser.

    Args:
        kind: One of `KINDS`.
        texts: The training texts.
        vocab_size: Largest number of tokens, special ones included (`char` has as many as there are characters).

    Returns:
        The tokeniser; the same for the same texts.

    Raises:
        UserError: The library is missing, or `vocab_size` is too small.

    Example:
        >>> tokenizer = train_tokenizer("char", ["abba"], 10)
        >>> tokenizer.encode("ab"), tokenizer.decode([3, 4])
        ([3, 4], 'ab')
    """
    library()
    smallest = len(_SPECIAL[kind]) + (_BYTES if kind == "bpe" else 1)
    if vocab_size < smallest:
        raise UserError(f"vocab_size: a tokeniser of kind {kind} needs at least {smallest}, received {vocab_size}.")
    make = {"char": _char, "bpe": _bpe, "word": _word, "wordpiece": _wordpiece}[kind]
    return TextTokenizer(_file(make(texts, vocab_size)))


def _file(tokenizer: Any) -> str:
    """Returns the content of `tokenizer.json`."""
    content = json.loads(tokenizer.to_str())
    content["added_tokens"] = []  # else "[PAD]" written in a text would become the token
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _char(texts: Sequence[str], vocab_size: int) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel(_numbered("char", sorted(set().union(*texts))), unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return tokenizer


def _bpe(texts: Sequence[str], vocab_size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    special = list(_SPECIAL["bpe"])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=2, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def _word(texts: Sequence[str], vocab_size: int) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({UNK: 0}, unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    counts = Counter(_words(tokenizer, texts))
    # A word seen once says nothing about others like it, and [UNK] must be seen in training to mean something.
    frequent = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
    room = vocab_size - len(_SPECIAL["word"])
    tokenizer.model = models.WordLevel(_numbered("word", frequent[:room]), unk_token=UNK)
    return tokenizer


def _wordpiece(texts: Sequence[str], vocab_size: int) -> Any:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    # Characters inside words get their numbers here, since the trainer gives them in an order that changes from run to
    # run, and pieces of equal frequency are then joined in another order.
    letters = sorted({character for word in _words(tokenizer, texts) for character in word})
    first = [*_SPECIAL["wordpiece"], *letters, *(f"##{character}" for character in letters)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=max(vocab_size, len(first)), min_frequency=2, special_tokens=first, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    ends = [(token, tokenizer.token_to_id(token)) for token in (CLS, SEP)]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{CLS} $A {SEP}", special_tokens=ends)
    return tokenizer


def _words(tokenizer: Any, texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text)):
            yield word


def _numbered(kind: str, tokens: Sequence[str]) -> dict[str, int]:
    return {token: number for number, token in enumerate((*_SPECIAL[kind], *tokens))}


def library() -> Any:
    """Returns the `tokenizers` library.

    Raises:
        UserError: It is not installed.
    """
    try:
        import tokenizers
    except ImportError:
        raise UserError("Tasks of text need the package `tokenizers`: pip install 'kerazoo[text]'.") from None
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # its threads do not survive the fork of a search's trial
    return tokenizers
