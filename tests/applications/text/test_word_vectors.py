"""Vectors of latent semantic analysis: words of the same texts lie together, nothing else is said."""

from __future__ import annotations

import numpy as np
import pytest

from applications.text.tokenizer import train_tokenizer
from applications.text.word_vectors import semantic_vectors
from applications.text_classification import TextClassification

TEXTS = ["cat purrs softly", "cat drinks milk", "kitten purrs milk", "dog barks loudly", "dog chews bones"] * 4


@pytest.fixture(scope="module")
def vectors():
    tokenizer = train_tokenizer("word", TEXTS, 100).with_length(5)
    found = semantic_vectors(tokenizer.batch(TEXTS)[0], tokenizer, 4)
    return {token: found[number] for token, number in tokenizer.vocabulary.items()}


def test_words_of_the_same_texts_lie_together(vectors):
    assert vectors["cat"] @ vectors["milk"] > 0.3 + vectors["cat"] @ vectors["dog"]
    assert np.linalg.norm(vectors["dog"]) == pytest.approx(1, abs=1e-5)


def test_special_tokens_have_none(vectors):
    assert not vectors["[PAD]"].any()
    assert not vectors["[UNK]"].any()


def test_a_single_text_gives_zeros():
    tokenizer = train_tokenizer("word", TEXTS, 100).with_length(5)
    found = semantic_vectors(tokenizer.batch(TEXTS[:1])[0], tokenizer, 6)
    assert found.shape == (tokenizer.vocab_size, 6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(("embeddings", "alike"), [("lsa", True), ("random", False)])
def test_a_model_begins_with_them(embeddings, alike, tmp_path):
    rows = "".join(f"{text} {number},{text[0]}\n" for number, text in enumerate(TEXTS))
    (tmp_path / "t.csv").write_text("text,label\n" + rows, encoding="utf-8")
    app = TextClassification(data=str(tmp_path / "t.csv"), embeddings=embeddings, model_options={"filters": 2})
    datasets = app.prepared(app.datasets())
    table = app.build(datasets).get_layer("embedding").embeddings.numpy()
    assert np.allclose(np.linalg.norm(table[2:], axis=1), 1, atol=1e-4) == alike
