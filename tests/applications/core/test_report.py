"""The report is one file that stands alone, says what the run's files say, and survives any name."""

import base64
import csv
import html
import html.parser
import io
import json
import re

import numpy as np
import pytest
import yaml
from PIL import Image

from applications.core import figures
from applications.core.report import (
    DASH,
    Figure,
    Result,
    Table,
    duration,
    fold_table,
    number,
    read_history,
    save_result,
    write_html,
)

NASTY = ["<script>alert('x')</script>", "été & hiver", 'a "quoted" name', "x" * 300, "猫", "{{ 7 * 7 }}"]
VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(html.parser.HTMLParser):
    """Collects text, tags and attributes, and checks that tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text, self.open = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def result(names=("cat", "dog"), **changes):
    values = {
        "metrics": {"accuracy": np.float32(0.9375), "log_loss": 0.123456789, "broken": float("nan")},
        "headline": "accuracy",
        "baseline": {"accuracy": 0.875},
        "baseline_name": "Nearest mean",
        "tables": [Table("Per class", ("class", "F1", "images"), [(name, 0.5, 7) for name in names], "A note.")],
        "figures": [
            Figure(
                "confusion",
                "Confusion matrix",
                figures.confusion_matrix(np.eye(len(names)), names),
                "Counts.",
            )
        ],
        "notes": ["The test split was seen once."],
    }
    return Result(**{**values, **changes})


def full_run(folder, names=("cat", "dog"), **changes):
    """Writes every file a report reads."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {
        "task": "image-classification",
        "model": "resnet20",
        "batch_size": 32,
        "augment": {"flip": True},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with (folder / "history.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "loss", "val_loss", "learning_rate"])
        writer.writerows([[1, 1.0, 1.5, 0.1], [2, 0.5, "", 0.1], [3, 0.25, 0.5, 0.01]])
    metrics = {"best_epoch": 3, "params": 272474, "training_seconds": 203.4}
    (folder / "metrics.json").write_text(json.dumps({**metrics, **changes.pop("metrics_json", {})}))
    (folder / "environment.json").write_text(json.dumps({"python": "3.11", "packages": {"keras": "3.15"}}))
    data = {
        "name": "digits",
        "description": "Real handwritten digits.",
        "splits": {"train": 1257, "val": 270, "test": 270},
        "warnings": [f"Class {names[0]!r} has one image."],
        "skipped": [[f"{names[0]}.png", "truncated"]],
    }
    (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
    save_result(folder, result(names, **changes))
    return Page(write_html(folder).read_text(encoding="utf-8"))


def test_report_says_what_the_files_say(tmp_path):
    page = full_run(tmp_path / "image-classification" / "my-run")
    for words in (
        "image classification my-run",
        "Model resnet20 with 272,474 parameters.",
        "Data: digits . Real handwritten digits.",
        "Samples: 1,257 train, 270 val, 270 test.",
        "Trained for 3 epochs in 3 min 23 s; the weights of epoch 3 were kept.",
        "accuracy 0.9375 0.8750 +0.06250",
        f"log loss 0.1235 {DASH} {DASH}",
        f"broken {DASH} {DASH} {DASH}",
        "The test split was seen once.",
        "Class 'cat' has one image.",
        "1 file was left out: file reason cat.png truncated",
        "Per class A note. class F1 images cat 0.5000 7 dog 0.5000 7",
        "Confusion matrix Counts.",
        "augment.flip true",
        "packages.keras 3.15",
        "kerazoo export",
    ):
        assert words in page.words, words
    assert "Cross-validation" not in page.words


def test_report_stands_alone(tmp_path):
    page = full_run(tmp_path / "run")
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    assert not {"script", "link", "iframe", "object", "a"} & set(page.tags)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert not re.search(r"https?://|@import|url\(", text)
    sources = [value for name, value in page.attributes if name == "src"]
    assert len(sources) == 2  # the curves and the confusion matrix
    for source in sources:
        head, content = source.split(",")
        assert head == "data:image/png;base64"
        Image.open(io.BytesIO(base64.b64decode(content))).verify()


def test_any_name_survives(tmp_path):
    page = full_run(tmp_path / "a <b> & 'c'", names=NASTY)
    assert "script" not in page.tags
    table = " ".join(page.text)
    for name in NASTY:
        assert name in table
    assert "49" not in [text.strip() for text in page.text]  # the name is not run as a template
    assert """kerazoo predict""" in page.words
    assert "'\"'\"'" in page.words  # the folder is quoted for the shell


def test_hundred_classes(tmp_path):
    names = [f"species {index}" for index in range(100)]
    page = full_run(tmp_path / "run", names=names)
    assert page.words.count("species ") >= 100


def test_only_report_json_is_needed(tmp_path):
    folder = tmp_path / "task-name" / "run"
    folder.mkdir(parents=True)
    bare = result(baseline={}, baseline_name="", tables=[Table("Empty", ("a", "b"), [])], figures=[], notes=[])
    save_result(folder, bare)
    page = Page(write_html(folder).read_text(encoding="utf-8"))
    assert "task name run Result on the test split" in page.words
    assert "difference" not in page.words
    assert "Learning curves" not in page.words
    assert "Warnings" not in page.words
    assert "None" not in page.words


def test_no_result_yet(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_html(tmp_path)


def test_missing_picture_is_said(tmp_path):
    full_run(tmp_path)
    (tmp_path / "figures" / "confusion.png").unlink()
    page = Page(write_html(tmp_path).read_text(encoding="utf-8"))
    assert "The picture is missing from figures/." in page.words


def test_folds(tmp_path):
    folds = [{"test_accuracy": 0.9, "val_loss": 0.2}, {"test_accuracy": 1.0, "val_loss": 0.4}]
    page = full_run(tmp_path, metrics_json={"folds": folds})
    assert "Cross-validation, 2 folds" in page.words
    assert "mean 0.9500 0.3000" in page.words
    assert "standard deviation 0.07071 0.1414" in page.words


def test_fold_table_of_one_fold_has_no_spread():
    table = fold_table([{"accuracy": 0.5}])
    assert table["mean"] == [0.5]
    assert table["spread"] == [None]
    assert fold_table([]) is None


def test_report_json_is_plain_and_redraws_the_page(tmp_path):
    full_run(tmp_path)
    text = (tmp_path / "report.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert content["metrics"] == {"accuracy": 0.9375, "log_loss": 0.123456789, "broken": None}
    assert content["tables"][0]["rows"][0] == ["cat", 0.5, 7]
    first = (tmp_path / "report.html").read_text(encoding="utf-8")
    (tmp_path / "report.html").unlink()
    write_html(tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == first


def test_nothing_half_written(tmp_path):
    class Broken:
        def savefig(self, *args, **kwargs):
            raise OSError(28, "No space left on device")

    full_run(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(OSError, match="No space left"):
        save_result(tmp_path, result(figures=[Figure("new", "New", Broken())]))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_result_is_checked(tmp_path):
    with pytest.raises(ValueError, match="headline 'f1' is none of the metrics accuracy"):
        save_result(tmp_path, result(headline="f1"))
    two = [Figure("same", "One", None), Figure("same", "Two", None)]
    with pytest.raises(ValueError, match="different names, received same, same"):
        save_result(tmp_path, result(figures=two))
    assert list(tmp_path.iterdir()) == []


def test_figure_names_stay_in_their_folder(tmp_path):
    picture = figures.confusion_matrix(np.eye(2), ["a", "b"])
    save_result(tmp_path, result(figures=[Figure("../../out of here", "Title", picture)]))
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["out_of_here.png"]
    assert 'alt="Title"' in write_html(tmp_path).read_text(encoding="utf-8")


def test_history_reads_gaps_and_a_missing_file(tmp_path):
    assert read_history(tmp_path / "history.csv") == []
    (tmp_path / "history.csv").write_text("epoch,loss,val_loss\n1,0.5,\n2,nan,0.25\n")
    first, second = read_history(tmp_path / "history.csv")
    assert first == {"epoch": 1, "loss": 0.5}
    assert second["epoch"] == 2
    assert np.isnan(second["loss"])


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.99123456, "0.9912"),
        (1.0, "1.000"),
        (0.0, "0"),
        (-0.00286, "-0.002860"),
        (0.0000042, "4.200e-06"),
        (1234.567, "1235"),
        (123456.7, "123,457"),
        (9999.6, "10,000"),
        (272474, "272,474"),
        (True, "yes"),
        (None, DASH),
        (float("inf"), DASH),
        ("text", "text"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(41.4, "41 s"), (203.4, "3 min 23 s"), (7500, "2 h 5 min"), (None, ""), (59.7, "1 min 0 s")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
