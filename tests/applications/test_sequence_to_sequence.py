"""The application `sequence-to-sequence` from the command line, its dates, and what is said about bad pairs."""

from __future__ import annotations

import datetime
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.datasets.pairs import load_pairs, read_pairs, read_sources
from applications.datasets.simulators import dates as simulator
from applications.sequence_to_sequence import FILES, SequenceToSequence, tokenizers_of
from applications.text import pair_report
from tests.applications.conftest import command

QUICK = ("--no-tensorboard", "--model-options.units", 24, "--model-options.embedding-dim", 12, "--batch-size", 32)


def train(out: Path, *words: object) -> Path:
    answer = command("train", "sequence-to-sequence", *QUICK, "--out", out, "--name", "run", *words)
    assert answer.status == 0, answer.err
    return out / "sequence-to-sequence" / "run"


def pairs(path: Path) -> Path:
    """Three of six words, to be written the other way round."""
    words = ("Amber", "birch", "cedar", "delta", "ember", "fjord")
    lines = [f"{a} {b} {c}\t{c} {b} {a}" for a, b, c in itertools.product(words, repeat=3)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def date_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = ("--data-options.dates", 80, "--data-options.per-day", 2, "--epochs", 1)
    return train(tmp_path_factory.mktemp("dates"), *options)


@pytest.fixture(scope="module")
def own_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on pairs of one's own, tokens are words; long enough to learn the order."""
    folder = tmp_path_factory.mktemp("own")
    words = ("--tokenizer", "word", "--epochs", 40, "--learning-rate", 0.02, "--beam-size", 2)
    return train(folder, "--data", pairs(folder / "mine.tsv"), *words)


def test_a_run_directory_is_complete(date_run):
    assert {path.stem for path in (date_run / "figures").glob("*.png")} == {"attention", "learning_curves"}
    metrics, page = json.loads((date_run / "metrics.json").read_text()), (date_run / "report.html").read_text()
    assert set(metrics["test"]) == {"exact_match", "exact_match_typos", "character_error_rate"}
    assert metrics["baseline"]["exact_match"] == 1.0
    assert metrics["baseline"]["exact_match_typos"] == 0.0
    for words in ("Right by format", "No calendar date of the test", "Saturday, 03.05.1997"):
        assert words in page
    for name in FILES:
        assert json.loads((date_run / name).read_text())["model"]["vocab"]


def test_it_learns_to_turn_words_round(own_run):
    test = json.loads((own_run / "metrics.json").read_text())
    assert test["test"]["exact_match"] > 0.7
    assert test["test"]["exact_match"] > test["baseline"]["exact_match"]


@pytest.mark.parametrize("fixture", ["date_run", "own_run"])
def test_evaluate_finds_the_same_figures_again(fixture, request):
    run = request.getfixturevalue(fixture)
    answer = command("evaluate", run)
    assert answer.status == 0, answer.err
    saved = json.loads((run / "metrics.json").read_text())["test"]
    again = json.loads((run / "evaluations" / "test" / "metrics.json").read_text())["test"]
    assert again == pytest.approx(saved, abs=1e-6)


def test_evaluate_on_other_pairs(own_run, tmp_path):
    (tmp_path / "other.tsv").write_text("amber birch fjord\tfjord birch amber\n")
    answer = command("evaluate", own_run, "--data", tmp_path / "other.tsv")
    assert answer.status == 0, answer.err
    found = json.loads((own_run / "evaluations" / "other.tsv" / "metrics.json").read_text())["test"]
    assert found["exact_match"] > 0


def test_predict_writes_lines_side_by_side(date_run, tmp_path):
    (tmp_path / "new.txt").write_text("3 May 1997\n05/03/97\n")
    (tmp_path / "new.tsv").write_text("3 May 1997\t1997-05-03\n")
    answer = command("predict", date_run, tmp_path, "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(names) == 2
    found = [(tmp_path / "out" / name).read_text().splitlines() for name in names]
    assert {lines[0].split("\t")[0] for lines in found} == {"3 May 1997"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("3 May 1997\n3 ☃ 1997\n", "line 2: the training sources have no character '☃'"),
        ("3 May 1997\n\n5 May 1997\n", "line 2: nothing stands there"),
        ("3 May 1997 " * 9 + "\n", "line 1: 98 tokens, the model takes at most"),
        ("", "holds no text"),
    ],
)
def test_texts_the_model_cannot_take(date_run, tmp_path, text, sentence):
    (tmp_path / "bad.txt").write_text(text)
    answer = command("predict", date_run, tmp_path / "bad.txt", "-o", tmp_path / "out")
    assert answer.status == 2
    assert sentence in answer.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("format", ["saved_model", "onnx"])
def test_export(date_run, format):
    answer = command("export", date_run, "--format", format)
    assert answer.status == 0, answer.err
    for name in FILES:
        assert (date_run / "exports" / name).read_text() == (date_run / name).read_text()


# Dates --------------------------------------------------------------------------------------------------------------


def test_fifteen_formats_that_rules_can_read():
    date = datetime.date(1997, 5, 3)
    day = (date - simulator.FIRST).days
    assert len(simulator.FORMATS) == 15
    for number, form in enumerate(simulator.FORMATS):
        written = simulator.write_date(day, number, False, np.random.default_rng(0))
        assert written == (form.example, "1997-05-03", number, False)
        assert simulator.read_date(form.example) == "1997-05-03"
    assert [simulator.ordinal(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31)] == [
        *("1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "23rd", "30th", "31st")
    ]


def test_every_date_without_a_typo_is_read_by_rules():
    written = simulator.simulate_dates(400, 2, 0.5, seed=1)
    assert all(simulator.read_date(date.text) == date.iso for date in written if not date.typo)
    assert not any(simulator.read_date(date.text) for date in written if date.typo)
    assert 0.2 < np.mean([date.typo for date in written]) < 0.35  # 8 of the 15 formats have the name of a month


@pytest.mark.parametrize("month", [*simulator.MONTHS, "Jan", "Jun", "Jul", "Mar", "May"])
def test_a_typo_leaves_one_month_possible(month):
    random = np.random.default_rng(0)
    for _ in range(30):
        text = simulator.mistyped(month, random).lower()
        near = {number for name, number in simulator._NAMES.items() if simulator.one_edit_apart(text, name)}
        assert near == {simulator._NAMES[month.lower()]}
        assert text not in simulator._NAMES


@pytest.mark.parametrize(
    ("a", "b", "apart"),
    [
        *(("may", other, True) for other in ("may", "mya", "mxy", "ma", "maay", "amy")),
        *(("may", other, False) for other in ("yam", "m", "maayx")),
        ("june", "juen", True),
        ("abcd", "badc", False),
    ],
)
def test_one_edit(a, b, apart):
    assert simulator.one_edit_apart(a, b) is simulator.one_edit_apart(b, a) is apart


def test_no_calendar_date_lies_in_two_parts():
    data = load_pairs("dates", options={"dates": 200, "per_day": 3})
    parts = [set(data.part(name)[1]) for name in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 200
    assert [len(part) for part in parts] == [140, 30, 30]
    assert (
        load_pairs("dates", options={"dates": 200}).fingerprint
        == load_pairs("dates", options={"dates": 200}).fingerprint
    )


def test_bucketing_cuts_nothing_but_padding(tmp_path):
    file = pairs(tmp_path / "p.tsv")
    apps = [SequenceToSequence(data=str(file), bucketing=bucketing) for bucketing in (False, True)]
    data = apps[0].prepared(apps[0].datasets())
    whole, cut = (app.samples(data, "train", training=True) for app in apps)
    assert whole.lengths is None
    index = np.argsort(cut.lengths)[:2]
    (given, answers), (less, fewer) = (samples.load(index, None) for samples in (whole, cut))
    assert less["source_ids"].shape[1] == min(-(-int(cut.lengths[index].max()) // 8) * 8, given["source_ids"].shape[1])
    for name, rows in given.items():
        assert np.array_equal(rows[:, : less[name].shape[1]], less[name])
        assert not np.any(rows[:, less[name].shape[1] :])
    assert np.array_equal(answers[:, : fewer.shape[1]], fewer)


def test_targets_are_set_one_token_apart(tmp_path):
    app = SequenceToSequence(data=str(pairs(tmp_path / "p.tsv")))
    data = app.prepared(app.datasets())
    source, target = tokenizers_of(data)
    inputs, answers = app.samples(data, "val", training=False).load([0], None)
    sources, targets = data.part("val")
    given, wanted = inputs["target_ids"].numpy()[0], answers.numpy()[0]
    assert source.decode(inputs["source_ids"].numpy()[0]) == sources[0]
    assert given[0] == target.start
    assert target.decode(given) == target.decode(wanted) == targets[0]
    assert np.array_equal(given[1:][wanted[:-1] != target.end][: len(targets[0])], wanted[: len(targets[0])])
    assert wanted[len(targets[0])] == target.end
    assert len(source.vocabulary) == source.vocab_size
    assert not {target.start, target.end} & set(np.flatnonzero(target.ordinary))


@pytest.mark.parametrize(
    ("a", "b", "distance"), [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3)]
)
def test_edit_distance(a, b, distance):
    assert pair_report.edit_distance(a, b) == pair_report.edit_distance(b, a) == distance


# Bad input ----------------------------------------------------------------------------------------------------------

BAD_PAIRS = {
    "no tab": ("a\tb\nc d\n", "line 2: no tab between source and target ('c d')"),
    "no source": ("a\tb\n \td\n", "line 2: the source is empty"),
    "no target": ("a\tb\nc\t\n", "line 2: the target is empty"),
    "empty": ("\n\n", "holds no text"),
    "too few": ("a\tb\na\tc\n", "holds 1 different sources; at least 3"),
}


@pytest.mark.parametrize("case", BAD_PAIRS)
def test_bad_pairs(case, tmp_path):
    text, sentence = BAD_PAIRS[case]
    (tmp_path / "pairs.tsv").write_text(text)
    with pytest.raises(UserError) as caught:
        load_pairs(str(tmp_path / "pairs.tsv"))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_read_all_the_same(tmp_path):
    path = tmp_path / "pairs.tsv"
    path.write_bytes("\ufeffa\tb\tsomebody\r\n\r\n c\td \na\tb\ne\tf".encode())
    found, lines, remarks = read_pairs(path)
    assert found == [("a", "b"), ("c", "d"), ("a", "b"), ("e", "f")]
    assert lines == [1, 3, 4, 5]
    assert "1 lines of pairs.tsv have more than two columns" in remarks[0]
    assert any("count once" in warning for warning in load_pairs(str(path)).warnings)
    assert read_sources(pairs(tmp_path / "p.tsv"))[0][1] == "Amber Amber birch"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"data": "dats"}, "Did you mean 'dates'"),
        ({"data_options": {"typo": 0.1}}, "has no option 'typo'. Did you mean 'typos'"),
        ({"data_options": {"typos": 2}}, "data_options.typos: expected a number from 0 to 1"),
        ({"data_options": {"dates": 40_000}}, "data_options.dates: expected a number from 3 to 36525"),
        ({"data_options": {"per_day": 16}}, "data_options.per_day: expected a number from 1 to 15"),
        ({"data_options": {"dates": 30}, "max_length": 9}, "max_length: the source of pair"),
    ],
)
def test_data_that_cannot_work(options, sentence):
    app = SequenceToSequence(**options)
    with pytest.raises(UserError) as caught:
        app.prepared(app.datasets())
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"loss": "mse"}, "loss:"),
        ({"class_weights": "balanced"}, "class_weights:"),
        ({"model": "lstm"}, "needs one of"),
        ({"model_options": {"source_vocab_size": 3}}, "model_options.source_vocab_size follows from the data"),
    ],
)
def test_options_that_cannot_work(options, sentence):
    with pytest.raises(UserError) as caught:
        SequenceToSequence(**options).check()
    assert sentence in str(caught.value)


_TINY = {"embedding_dim": 6, "units": 8}
MODELS = {
    "seq2seq": {**_TINY, "num_layers": 1},
    "luong_seq2seq": _TINY,
    "bahdanau_seq2seq": {**_TINY, "attention_units": 5, "maxout_units": 4},
    "transformer_small": {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "mlp_dim": 8},
}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_writes_and_shows_what_it_looks_at(name):
    app = SequenceToSequence(model=name, model_options=MODELS[name], data_options={"dates": 20, "per_day": 1})
    app.check()
    data = app.prepared(app.datasets())
    model = app.build(data)
    sources = data.part("test")[0]
    answers = app.written(model, data, sources)
    assert len(answers) == len(sources) == 3
    assert len(app.replace(beam_size=2).written(model, data, sources)) == 3
    source, target = tokenizers_of(data)
    ids, written = source.batch(sources)[0], target.batch(answers)[0]
    looked = pair_report.looked_at(model, ids, written)
    assert (looked is None) == (name == "seq2seq")
    if looked is not None:
        assert looked.shape == (3, written.shape[1], ids.shape[1])
        np.testing.assert_allclose(looked.sum(-1), 1, atol=1e-5)
