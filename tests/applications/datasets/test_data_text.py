"""Texts with classes and long texts: read, checked, split, or refused in one sentence with the remedy."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.datasets.embedded.pydoc import FAMILIES, near_duplicates, pydoc_text
from applications.datasets.streams import load_stream
from applications.datasets.texts import load_texts

ROWS = [(f"text number {i} is about {'cats and milk' if i % 2 else 'dogs and bones'}", "cd"[i % 2]) for i in range(20)]


def table(path: Path, rows=ROWS, names=("text", "label"), encoding: str = "utf-8") -> str:
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([names, *rows])
    return str(path)


def test_paragraphs_are_real_single_and_of_one_family():
    texts = load_texts("pydoc")
    assert set(texts.class_names) == set(FAMILIES)
    assert len(set(texts.texts)) == len(texts) > 1000
    assert min(Counter(texts.labels.tolist()).values()) > 80
    assert not near_duplicates(list(texts.texts))
    assert "by paragraph" in texts.description
    parts = [set(texts.part(name)) for name in ("train", "val", "test")]
    assert not parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2]
    # A quick try takes the first texts of a part, which are of several families.
    assert len(np.unique(texts.labels[texts.split["test"][:16]])) > 3


def test_every_topic_of_the_library_has_one_family():
    from pydoc_data.topics import topics

    named = " ".join(FAMILIES.values()).split()
    assert len(named) == len(set(named))
    assert len(set(topics) & set(named)) >= 60


def test_near_duplicates_are_the_later_ones():
    sentence = "the statement may only occur in the body of a loop and nowhere else"
    texts = [sentence, "something else entirely is said in here about numbers", sentence.replace("loop", "function")]
    assert near_duplicates(texts) == {2}


def test_the_fingerprint_follows_texts_and_labels_not_the_split(tmp_path):
    first = load_texts(table(tmp_path / "a.csv"))
    assert first.fingerprint == load_texts(table(tmp_path / "a.csv"), seed=3).fingerprint
    changed = [*ROWS[:-1], (ROWS[-1][0], "d" if ROWS[-1][1] == "c" else "c")]
    other = load_texts(table(tmp_path / "a.csv", changed))
    assert other.sha256 == first.sha256
    assert other.fingerprint != first.fingerprint


def test_repeated_and_missing_texts_are_left_out_and_said(tmp_path):
    rows = [*ROWS, (ROWS[0][0].upper() + "  ", ROWS[0][1]), (ROWS[1][0], "c"), ("", "c"), ("lonely", "")]
    texts = load_texts(table(tmp_path / "t.csv", rows))
    assert len(texts) == len(ROWS)
    assert "2 rows without a text or without a class" in texts.warnings[0]
    assert "2 texts occur again (1 of them with another class)" in texts.warnings[1]


def test_columns_of_other_names(tmp_path):
    path = table(tmp_path / "t.csv", names=("Satz", "Art"))
    assert load_texts(path, text_column="Satz", label_column="Art").class_names == ("c", "d")


BAD_TEXTS = [
    (
        {"names": ("sentence", "label")},
        r"text_column: .* has no column 'text'; it has sentence, label\. .*--text-column",
    ),
    ({"names": ("text", "class")}, r"label_column: .* has no column 'label'.*--label-column names it"),
    ({"rows": [(text, "c") for text, _ in ROWS]}, r"has one class only \('c'\); classification needs at least two"),
    ({"rows": [(text, text) for text, _ in ROWS]}, r"20 different values in 20 rows, too many for classes"),
    ({"rows": [("", "c"), ("", "d")]}, "holds no text with a class"),
    ({"rows": ROWS[:2]}, "at least 3 are needed"),
]


@pytest.mark.parametrize(("how", "sentence"), BAD_TEXTS)
def test_bad_tables_are_refused(how, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        load_texts(table(tmp_path / "t.csv", **how))


def test_names_that_are_no_data():
    with pytest.raises(UserError, match=r"Did you mean 'pydoc'"):
        load_texts("pydocs")
    with pytest.raises(UserError, match=r"Did you mean 'pydoc'"):
        load_stream("pydocs")
    with pytest.raises(UserError, match="does not exist"):
        load_texts("nowhere/t.csv")


# One long text -----------------------------------------------------------------------------------------------------


def test_the_stream_is_cut_in_order_without_loss():
    stream = load_stream("pydoc")
    assert stream.part("train") + stream.part("val") + stream.part("test") == stream.text == pydoc_text()
    assert len(stream.part("test")) == pytest.approx(len(stream.text) / 10, rel=0.01)
    assert stream.about()["sha256"] == stream.sha256
    assert len(stream.sha256) == 64


def test_files_are_joined_in_the_order_of_their_numbers(tmp_path):
    (tmp_path / "more").mkdir()
    (tmp_path / "part 10.txt").write_bytes(b"last " * 300)
    (tmp_path / "part 2.txt").write_bytes("\ufefffirst\r\n".encode() * 300)
    (tmp_path / "notes.md").write_text("not read")
    text = load_stream(str(tmp_path)).text
    assert text.startswith("first\n")
    assert text.endswith("last ")
    assert "\r" not in text
    assert "not read" not in text


BAD_STREAMS = [
    ("latin.txt", "Grüße\n".encode("latin-1") * 1000, r"no UTF-8 text \(byte 0xfc in line 1\); save it as UTF-8"),
    ("wide.txt", "hello".encode("utf-16") * 1000, "zero bytes"),
    ("empty.txt", b" \n", "holds no text"),
    ("short.txt", b"too short", "has 9 characters; at least 2000 are needed"),
]


@pytest.mark.parametrize(("name", "content", "sentence"), BAD_STREAMS, ids=[row[0] for row in BAD_STREAMS])
def test_bad_files_are_refused(name, content, sentence, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=sentence):
        load_stream(str(tmp_path / name))


def test_a_folder_without_texts_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.txt file"):
        load_stream(str(tmp_path))
