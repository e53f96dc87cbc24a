"""CSV files as people have them: each works, or is refused in one sentence with the remedy."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.datasets.data import TABLE_NAMES
from applications.datasets.table_encoding import TableEncoding, input_names, run_table, unseen_by
from applications.datasets.tables import MISSING_CATEGORY, Column, load_table

ROWS = [(round(0.37 * i - 3.1, 2), "rgb"[i % 3], "yes" if i % 4 else "no") for i in range(24)]


def write(
    path: Path, rows=ROWS, names=("height", "colour", "answer"), *, sep=",", decimal=".", encoding="utf-8"
) -> Path:
    """Writes a table; numbers get the decimal sign, cells are quoted where they must be."""
    text = io.StringIO()
    writer = csv.writer(text, delimiter=sep, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([str(cell).replace(".", decimal) if isinstance(cell, float) else cell for cell in row])
    path.write_bytes(text.getvalue().encode(encoding))
    return path


def columns(table) -> dict[str, list]:
    return {column.name: column.values.tolist() for column in table.columns}


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"sep": ";"},
        {"sep": "\t"},
        {"sep": "|"},
        {"sep": ";", "decimal": ","},
        {"sep": "\t", "decimal": ","},
        {"decimal": ","},  # every number is quoted then
        {"encoding": "utf-8-sig"},
        {"encoding": "utf-16"},
    ],
    ids=str,
)
def test_every_spelling_of_a_table_reads_the_same(tmp_path, form):
    table = load_table(str(write(tmp_path / "t.csv", **form)))
    assert columns(table) == {"height": [row[0] for row in ROWS], "colour": [row[1] for row in ROWS]}
    assert [column.kind for column in table.columns] == ["number", "category"]
    assert table.class_names == ("no", "yes")
    assert [table.class_names[label] for label in table.labels] == [row[2] for row in ROWS]
    assert table.target == "answer"
    assert not table.warnings


def test_windows_encoding_is_read_and_said(tmp_path):
    table = load_table(str(write(tmp_path / "t.csv", names=("größe", "colour", "answer"), encoding="cp1252")))
    assert table.columns[0].name == "größe"
    assert "Windows-1252" in table.warnings[0]


def test_odd_names_empty_lines_and_quotes(tmp_path):
    path = tmp_path / "t.csv"
    write(path, names=("Größe, in m", 'the "colour"', "answer"))
    path.write_text("\n" + path.read_text("utf-8").replace("\n", "\n\n", 5) + "\n\n,,\n", "utf-8")
    table = load_table(str(path))
    assert [column.name for column in table.columns] == ["Größe, in m", 'the "colour"']
    assert len(table) == len(ROWS)


def test_duplicate_and_missing_names_are_told_apart(tmp_path):
    rows = [(row[0], row[0] + 1, 2 * row[0], row[2]) for row in ROWS]
    table = load_table(str(write(tmp_path / "t.csv", rows, ("a", "a", "", "answer"))))
    assert [column.name for column in table.columns] == ["a", "a (2)", "column 3"]
    assert "Two columns are named 'a'" in table.warnings[0]


def test_missing_values_and_targets_are_counted(tmp_path):
    rows: list[list] = [list(row) for row in ROWS]
    rows[2][0], rows[3][0], rows[4][1], rows[5][2], rows[6][2] = "", "NA", "?", "", "n/a"
    table = load_table(str(write(tmp_path / "t.csv", rows)))
    assert len(table) == len(ROWS) - 2
    assert np.isnan(table.columns[0].values).tolist().count(True) == 2
    assert table.columns[1].values[4] == MISSING_CATEGORY
    said = " ".join(table.warnings)
    assert "2 rows without a value of 'answer' were left out." in said
    assert "Column 'height': 2 of 22 values are missing" in said
    assert "Column 'colour': 1 of 22 values are missing" in said


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda i: 1, "its value is '1' in every row"),
        (lambda i: "", "all values are missing"),
        (lambda i: i + 1, "it numbers the rows"),
        (lambda i: f"patient {i}", "nearly every row has another text (24 different ones), as an identifier has"),
    ],
)
def test_columns_that_say_nothing_are_left_out_and_can_be_kept(tmp_path, make, reason):
    rows = [(make(i), *row) for i, row in enumerate(ROWS)]
    path = str(write(tmp_path / "t.csv", rows, ("odd-name", "height", "colour", "answer")))
    table = load_table(path)
    assert [column.name for column in table.columns] == ["height", "colour"]
    assert f"Column 'odd-name' was left out: {reason}" in table.warnings[0]
    kept = load_table(path, kinds={"odd_name": "category"})  # as the command line spells it
    assert kept.columns[0].kind == "category"
    only = load_table(path, kinds={"*": "ignore", "height": "number"})
    assert [column.name for column in only.columns] == ["height"]


@pytest.mark.parametrize(
    ("values", "problem", "classes"),
    [
        (["yes", "no"] * 12, "auto", ("no", "yes")),
        ([1, 0, 2] * 8, "auto", ("0", "1", "2")),
        ([2.0, 10.0] * 12, "auto", ("2", "10")),
        ([0.5 * i for i in range(24)], "auto", ()),
        (list(range(24)), "auto", ()),
        ([1, 0, 2] * 8, "regression", ()),
        ([11, 12, 13] * 8, "classification", ("11", "12", "13")),
    ],
)
def test_the_target_says_what_the_problem_is(tmp_path, values, problem, classes):
    rows = [(*row[:2], value) for row, value in zip(ROWS, values, strict=True)]
    table = load_table(str(write(tmp_path / "t.csv", rows)), problem=problem)
    assert table.class_names == classes
    if classes:
        assert [float(table.class_names[label]) for label in table.labels] == values if values[0] != "yes" else True
    else:
        assert table.values.tolist() == values


def _changed(position: int, column: int, value: object) -> list:
    rows: list[list] = [list(row) for row in ROWS]
    rows[position][column] = value
    return rows


BAD = {
    "missing file": (None, {}, r"File .* does not exist"),
    "unknown name": ("brest_cancer", {}, r"Unknown data 'brest_cancer'.*Did you mean 'breast_cancer'"),
    "empty": ("", {}, "is empty; it needs a line of column names"),
    "names only": ("a,b\n", {}, "holds one line only"),
    "no names": ("1,2.5\n3,4\n5,6\n", {}, "first line of .* holds numbers only .*; put a line with the names"),
    "one column": ("a\n1\n2\n3\n", {}, r"has one column only \('a'\).*--separator"),
    "short row": ("a,b\n1,2\n3\n4,5\n", {}, "line 3: 1 cells where the names promise 2"),
    "binary": (b"PK\0\0\1\2", {}, "is no text; save the table as CSV"),
    "text among numbers": (
        _changed(3, 0, "tall"),
        {},
        "'tall' in line 5: correct them, or give --columns.height number",
    ),
    "one class": ([(*row[:2], "yes") for row in ROWS], {}, r"has one class only \('yes'\).*--target"),
    "constant target": ([(*row[:2], 1.5) for row in ROWS], {}, "is 1.5 in every row"),
    "text in target": ([(*row[:2], i + 0.5 if i else "big") for i, row in enumerate(ROWS)], {}, "'big' in line 2"),
    "too many classes": ([(*row[:2], f"n{i}") for i, row in enumerate(ROWS)], {}, "has 24 different values in 24 rows"),
    "no target": ([(*row[:2], "") for row in ROWS], {}, "0 rows with a value of 'answer'"),
    "unknown target": (ROWS, {"target": "awnser"}, "no column 'awnser'.*Did you mean 'answer'"),
    "unknown column": (ROWS, {"kinds": {"hight": "number"}}, "no column 'hight'.*Did you mean 'height'"),
    "unknown kind": (ROWS, {"kinds": {"height": "numeric"}}, "columns.height: expected number, category, ignore"),
    "no inputs": (ROWS, {"kinds": {"*": "ignore"}}, "no usable input column"),
    "bad separator": (ROWS, {"separator": "::"}, "separator: expected one character"),
    "typed data": ("wine", {"target": "ash"}, "is typed already"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_tables_are_refused_in_one_sentence(tmp_path, case):
    content, options, sentence = BAD[case]
    path = tmp_path / "t.csv"
    if isinstance(content, list):
        write(path, content)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None and ("\n" in content or not content):
        path.write_text(content)
    data = content if isinstance(content, str) and content and "\n" not in content else str(path)
    with pytest.raises(UserError, match=sentence) as caught:
        load_table(data, **options)
    assert "\n" not in str(caught.value)


def test_text_among_numbers_can_count_as_missing(tmp_path):
    table = load_table(str(write(tmp_path / "t.csv", _changed(3, 0, "tall"))), kinds={"height": "number"})
    assert np.isnan(table.columns[0].values[3])
    assert "1 values are no numbers and count as missing" in table.warnings[0]


@pytest.mark.parametrize("name", TABLE_NAMES)
def test_embedded_tables(name):
    table = load_table(name, seed=1)
    rows = {"breast_cancer": 569, "wine": 178, "diabetes": 442, "xor": 400}
    assert len(table) == rows[name]
    assert table.num_classes == {"breast_cancer": 2, "wine": 3, "diabetes": 0, "xor": 2}[name]
    assert sorted(np.concatenate(list(table.split.values())).tolist()) == list(range(len(table)))
    again = load_table(name, seed=2)
    assert again.fingerprint == table.fingerprint
    assert not np.array_equal(again.split["test"], table.split["test"])


def test_fingerprint_changes_with_a_value(tmp_path):
    first = load_table(str(write(tmp_path / "a.csv"))).fingerprint
    assert load_table(str(write(tmp_path / "a.csv", _changed(3, 0, 9.0)))).fingerprint != first
    assert load_table(str(write(tmp_path / "a.csv", _changed(3, 2, "no")))).fingerprint != first


def _mixed(rows: int = 40) -> list[Column]:
    rng = random.Random(0)
    return [
        Column("kind/of", "category", np.array([rng.choice(["a", "b", "ü", MISSING_CATEGORY]) for _ in range(rows)])),
        Column("x", "number", np.array([rng.choice([np.nan, rng.gauss(5, 2)]) for _ in range(rows)])),
        Column("core", "number", np.array([rng.gauss(-1e3, 10) for _ in range(rows)])),
    ]


def test_layers_of_the_saved_model_do_what_numpy_does(tmp_path):
    import keras

    columns, train = _mixed(), np.arange(20)
    encoding = TableEncoding.fit(columns, train)
    numbers = encoding.apply(columns)
    assert encoding.width == numbers.shape[1] == 2 + 4
    assert input_names(encoding.columns) == ("x", "core_", "kind_of")
    # The training rows alone say mean and spread; a missing number is the mean.
    present = columns[1].values[train][~np.isnan(columns[1].values[train])]
    expected = np.nan_to_num((columns[1].values - present.mean()) / present.std())
    np.testing.assert_allclose(numbers[:, 0], expected, atol=1e-5)
    inputs, encoded = encoding.layers()
    keras.Model(inputs, encoded).save(tmp_path / "m.keras")
    model = keras.models.load_model(tmp_path / "m.keras")  # safe mode, nothing of ours
    np.testing.assert_allclose(run_table(model, columns), numbers, atol=1e-4)
    np.testing.assert_allclose(run_table(model, columns, np.array([7, 3])), numbers[[7, 3]], atol=1e-4)


def test_unseen_categories_are_none_of_the_known_and_said():
    import keras

    columns = _mixed()
    encoding = TableEncoding.fit(columns, np.arange(20))
    inputs, encoded = encoding.layers()
    model = keras.Model(inputs, encoded)
    assert unseen_by(model, columns) == []
    strange = [Column("kind/of", "category", np.array(["a", "z"])), *(_mixed(2)[1:])]
    assert encoding.apply(strange)[:, 2:].sum(axis=1).tolist() == [1.0, 0.0]
    assert run_table(model, strange)[1, 2:].tolist() == [0.0] * 4
    assert "'kind/of': 1 of 2 values, such as 'z'" in unseen_by(model, strange)[0]
