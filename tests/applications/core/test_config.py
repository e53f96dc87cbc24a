"""Defaults, YAML and command line are three spellings of one configuration."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
import yaml

from applications.core.config import (
    describe,
    from_dict,
    group,
    merge,
    option,
    parse_arguments,
    read_yaml,
    to_dict,
    to_yaml,
    type_name,
)
from applications.core.errors import UserError


@dataclass(frozen=True)
class Inner:
    rotation: float = option(10.0, "Degrees.", minimum=0, maximum=180)
    flip: bool = option(False, "Mirror.")


@dataclass(frozen=True)
class Outer:
    data: str = option("digits", "Data.")
    epochs: int = option(3, "Epochs.", minimum=1)
    rate: float = option(1e-3, "Rate.")
    optimizer: Literal["adam", "sgd"] = option("adam", "Optimiser.")
    limit: float | None = option(None, "Limit.")
    sizes: tuple[int, ...] = field(default=(1, 2), metadata={"help": "Sizes."})
    extra: dict[str, Any] = option({}, "Anything.")
    channels: Literal[1, 3] | None = option(None, "Channels.")
    clip: float | None = option(None, "Clip.", above=0)
    augment: Inner = group(Inner, "Changes.")


CHANGED = {
    "data": "my folder/ä",
    "epochs": 5,
    "rate": 0.5,
    "optimizer": "sgd",
    "limit": 2.0,
    "sizes": [3, 4],
    "extra": {"filters": [8, 16], "activation": "relu"},
    "channels": 3,
    "clip": 0.5,
    "augment": {"rotation": 15.0, "flip": True},
}
WORDS = [
    "--data",
    "my folder/ä",
    "--epochs=5",
    "--rate",
    "5e-1",
    "--optimizer",
    "sgd",
    "--limit",
    "2",
    "--sizes",
    "3,4",
    "--extra.filters",
    "[8, 16]",
    "--extra.activation",
    "relu",
    "--channels",
    "3",
    "--clip",
    ".5",
    "--augment.rotation",
    "15",
    "--augment.flip",
]


def test_the_three_spellings_agree(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(CHANGED), encoding="utf-8")
    from_file = from_dict(Outer, read_yaml(file))
    values, rest = parse_arguments(Outer, WORDS)
    assert rest == []
    assert from_dict(Outer, values) == from_file
    assert to_dict(from_file) == CHANGED
    assert from_dict(Outer, yaml.safe_load(to_yaml(from_file))) == from_file
    assert from_file != Outer()


def test_the_command_line_goes_before_the_file():
    values, _ = parse_arguments(Outer, ["--augment.rotation", "1"])
    merged = from_dict(Outer, merge({"epochs": 7, "augment": {"rotation": 2, "flip": True}}, values))
    assert (merged.epochs, merged.augment) == (7, Inner(rotation=1.0, flip=True))


def test_a_dash_in_the_file_is_an_underscore_everywhere():
    assert merge({"some-rate": 1, "deep": {"a-b": 1}}, {"some_rate": 2}) == {"some_rate": 2, "deep": {"a-b": 1}}
    with pytest.raises(UserError, match="rate_x is given twice"):
        merge({"rate-x": 1, "rate_x": 1}, {})


def test_the_last_word_about_a_mapping_counts():
    for words, extra in (
        (["--extra", "{a: 1}", "--extra.b", "2"], {"a": 1, "b": 2}),
        (["--extra.b", "2", "--extra", "{a: 1}"], {"a": 1}),
    ):
        assert from_dict(Outer, parse_arguments(Outer, words)[0]).extra == extra


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--augment.flip", "true"], True),
        (["--augment.flip", "false"], False),
        (["--augment.flip"], True),
        (["--no-augment.flip"], False),
    ],
)
def test_booleans(words, expected):
    values, rest = parse_arguments(Outer, words)
    assert from_dict(Outer, values).augment.flip is expected
    assert rest == []


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["--epoch", "3"], ["--epoch", "--epochs"]),
        (["--augment.rotatoin", "3"], ["--augment.rotatoin", "--augment.rotation"]),
        (["--epochs", "many"], ["epochs", "int", "many"]),
        (["--epochs", "2.5"], ["epochs", "int", "2.5"]),
        (["--epochs", "0"], ["epochs", "at least 1", "0"]),
        (["--epochs", "1e400"], ["epochs"]),
        (["--rate", "nan"], ["rate", "nan"]),
        (["--rate", "inf"], ["rate", "inf"]),
        (["--clip", "0"], ["clip", "above 0", "0"]),
        (["--channels", "2"], ["channels", "1 or 3", "2"]),
        (["--channels", "true"], ["channels", "true"]),
        (["--extra", "5", "--extra.filters", "3"], ["--extra.filters", "5", "mapping"]),
        (["--extra.filters", "3", "--extra", "5"], ["extra", "mapping", "5"]),
        (["--augment.rotation", "200"], ["augment.rotation", "between 0 and 180", "200"]),
        (["--optimizer", "adm"], ["optimizer", "adam or sgd", "Did you mean 'adam'"]),
        (["--augment.flip=perhaps"], ["augment.flip", "true or false", "perhaps"]),
        (["--epochs"], ["--epochs", "value is missing"]),
        (["--epochs", "--data", "x"], ["--epochs", "value is missing"]),
        (["--sizes", "1,two"], ["sizes", "two"]),
    ],
)
def test_wrong_words_are_named(words, parts):
    with pytest.raises(UserError) as refused:
        from_dict(Outer, parse_arguments(Outer, words)[0])
    for part in parts:
        assert part in str(refused.value)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("epohcs: 3", ["epohcs", "Did you mean 'epochs'"]),
        ("augment: 3", ["augment", "rotation, flip", "3"]),
        ("augment: {rotaton: 3}", ["augment.rotaton", "rotation"]),
        ("epochs: [1]", ["epochs", "int"]),
        ("data: null", ["data", "text"]),
        ("epochs: true", ["epochs", "int"]),
        ("channels: true", ["channels", "1 or 3", "True"]),
        ("channels: 3.0", ["channels", "1 or 3"]),
        ("some-rate: 1\nsome_rate: 2", ["some_rate is given twice"]),
        ("augment: {a-b: 1, a_b: 2}", ["augment.a_b is given twice"]),
        ("- 1\n- 2", ["option: value", "list"]),
        ("a: [", ["not valid YAML", "line"]),
    ],
)
def test_wrong_files_are_named(tmp_path, text, parts):
    file = tmp_path / "my.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError) as refused:
        from_dict(Outer, read_yaml(file))
    for part in parts:
        assert part in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"none\.yaml' does not exist"):
        read_yaml(tmp_path / "none.yaml")


def test_describe_lists_every_option_with_its_help():
    described = {entry.path: entry for entry in describe(Outer)}
    assert list(described)[:2] == ["data", "epochs"]
    assert described["augment.rotation"].default == 10.0
    assert all(entry.help for entry in described.values())
    assert type_name(described["limit"].type) == "float or none"
    assert type_name(described["sizes"].type) == "int values, comma-separated"


def test_every_search_space_holds_values_the_application_takes():
    from applications.core.config import merge, parse_arguments
    from applications.core.registry import application_class, applications
    from applications.core.search_space import Choice

    for task in applications():
        cls = application_class(task)
        space = cls().search_space()
        assert "learning_rate" in space
        assert ("batch_size" in space) == (task != "node-classification")  # whose one sample is the graph
        for end in (0, -1):
            values: dict = {}
            ranges = dict(space)
            while ranges:
                path, range_ = ranges.popitem()
                value = range_.values[end] if isinstance(range_, Choice) else (range_.low, range_.high)[end]
                values = merge(values, parse_arguments(cls, [f"--{path}={value}"])[0])
                if isinstance(range_, Choice) and isinstance(value, str):
                    ranges |= range_.children.get(value, {})
            from_dict(cls, values).check()


def test_every_application_explains_every_option():
    from applications.core.registry import application_class, applications

    assert set(applications()) >= {"image-classification", "semantic-segmentation"}
    for task in applications():
        cls = application_class(task)
        assert cls.task == task
        assert cls.summary
        for entry in describe(cls):
            assert entry.help.endswith("."), f"{task}: {entry.path}"
        cls().check()


def test_described_defaults_are_those_of_the_application_and_stay_when_another_option_is_given():
    from applications.core.registry import application_class, applications

    for task in applications():
        cls = application_class(task)
        usual = to_dict(cls())
        for entry in describe(cls):
            value: Any = usual
            for part in entry.path.split("."):
                value = value[part]
            shown = list(entry.default) if isinstance(entry.default, tuple) else entry.default
            assert shown == value, f"{task}: {entry.path}"
            group_name, _, name = entry.path.partition(".")
            if name and value is not None:
                assert to_dict(from_dict(cls, {group_name: {name: value}})) == usual, f"{task}: {entry.path}"
