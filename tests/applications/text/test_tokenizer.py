"""Tokenisers: learnt from the training texts alone, the same every time, and a file that other programs can use."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.text.tokenizer import KINDS, TextTokenizer, load_tokenizer, train_tokenizer

TEXTS = [
    'The "break" statement ends the loop; the loop\'s "else" clause is skipped.',
    'A loop that ends by the "break" statement\n    skips its "else" clause. Naïve, isn\'t it?',
    "Statements end. Loops break. Clauses skip: the loop of the loop, the clause of the clause.",
] * 3


def tokenizer(kind: str, vocab_size: int = 320) -> TextTokenizer:
    return train_tokenizer(kind, TEXTS, vocab_size)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_token_0_and_special_tokens_have_the_same_numbers(kind):
    vocabulary = tokenizer(kind).vocabulary
    wanted = {
        "word": ["[PAD]", "[UNK]"],
        "wordpiece": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    }.get(kind, ["[PAD]", "[UNK]", "[MASK]"])
    assert [vocabulary[token] for token in wanted] == list(range(len(wanted)))
    assert sorted(vocabulary.values()) == list(range(len(vocabulary)))


def fingerprints() -> str:
    return " ".join(hashlib.sha256(tokenizer(kind).json.encode()).hexdigest() for kind in KINDS)


def test_another_process_learns_the_same():
    program = "from tests.applications.text.test_tokenizer import fingerprints; print(fingerprints())"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == fingerprints().split()


@pytest.mark.parametrize("kind", ["char", "bpe"])
def test_nothing_of_a_text_is_lost(kind):
    found = tokenizer(kind)
    for text in (*TEXTS, "  two  spaces\n\n\tend "[: 20 if kind == "bpe" else 0]):
        assert found.decode(found.encode(text)) == text


def test_bytes_know_every_character():
    found = tokenizer("bpe")
    text = "Ünknown 世界 [PAD] \u200b"
    assert found.decode(found.encode(text)) == text
    assert found.unknown not in found.encode(text)


@pytest.mark.parametrize("kind", KINDS)
def test_the_name_of_a_special_token_in_a_text_is_text(kind):
    ids = tokenizer(kind).encode("the [PAD] [MASK] [SEP]")
    assert 0 not in ids
    if kind == "wordpiece":
        assert ids[0] == 2
        assert ids[-1] == 3
        assert not {2, 3, 4} & set(ids[1:-1])


def test_unknown_characters_are_named_once_and_in_order():
    assert tokenizer("char").unknown_characters("thé 世 é z") == ["é", "世", "z"]
    assert tokenizer("char").unknown_characters("the loop") == []


def test_words_seen_once_are_unknown():
    found = train_tokenizer("word", ["alpha beta beta", "gamma gamma"], 100)
    assert found.encode("Beta alpha GAMMA") == [2, 1, 3]


@pytest.mark.parametrize("kind", KINDS)
def test_a_length_cuts_and_fills_up_and_says_which(kind):
    found = tokenizer(kind).with_length(6)
    ids, cut = found.batch(["the", TEXTS[0]])
    assert ids.shape == (2, 6)
    assert ids.dtype == np.int32
    assert cut.tolist() == [False, True]
    assert ids[0, -1] == 0
    if kind == "wordpiece":
        assert ids[1, -1] == 3, "a text that was cut ends in [SEP] all the same"
    assert found.length == 6
    assert found.uncut().length is None
    assert len(found.uncut().encode(TEXTS[0])) > 6


def test_the_file_is_one_of_the_library(tmp_path):
    from tokenizers import Tokenizer

    found = tokenizer("wordpiece").with_length(8)
    (tmp_path / "tokenizer.json").write_text(found.json, encoding="utf-8")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(TEXTS[0]).ids == found.batch([TEXTS[0]])[0][0].tolist()
    assert load_tokenizer(tmp_path).json == found.json
    assert json.loads(found.json)["added_tokens"] == []


def test_places_of_tokens_in_the_text():
    text = TEXTS[1]
    ids, places = tokenizer("bpe").encode_with_places(text)
    assert places[0] == 0
    assert (np.diff(places) >= 0).all()
    assert len(ids) == len(places)


def test_refusals(tmp_path):
    with pytest.raises(UserError, match=r"kind bpe needs at least 259, received 100"):
        tokenizer("bpe", 100)
    with pytest.raises(UserError, match=r"tokenizer.json' is missing"):
        load_tokenizer(tmp_path)


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(UserError, match=r"need the package `tokenizers`: pip install 'kerazoo\[text\]'"):
        tokenizer("char")
