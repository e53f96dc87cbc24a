"""Search spaces: reading, refusing, counting, and what a trial gets."""

from __future__ import annotations

import pytest

from applications.core.errors import UserError
from applications.core.search_space import Choice, Integer, Real
from applications.image_classification import ImageClassification
from tuning import spaces

NESTED = {
    "learning_rate": Real(1e-4, 1e-1, log=True),
    "model": Choice("cnn", "mlp", children={"mlp": {"model_options.dropout_rate": Real(0.0, 0.5)}}),
    "batch_size": Choice(16, 32),
}


@pytest.mark.parametrize(
    ("text", "range_"),
    [
        ("log(1e-4, 1e-1)", Real(1e-4, 1e-1, log=True)),
        ("log(1e-4,1e-1,7)", Real(1e-4, 1e-1, log=True, points=7)),
        ("real(0, 0.5)", Real(0.0, 0.5)),
        ("int(2, 6)", Integer(2, 6)),
        ("int(16,128,16)", Integer(16, 128, 16)),
        ("16, 32, 64", Choice(16, 32, 64)),
        ("adam,sgd", Choice("adam", "sgd")),
        ("[null, 0.5]", Choice(None, 0.5)),
        ([[16], [16, 32]], Choice([16], [16, 32])),
        ("0, 0.5, .9", Choice(0, 0.5, 0.9)),
    ],
)
def test_ranges_are_read_and_written(text, range_) -> None:
    assert spaces.parse("x", text) == range_
    assert spaces.parse("x", spaces.plain({"x": range_})["x"]) == range_


def test_a_space_survives_yaml() -> None:
    import yaml

    again = spaces.read_plain(yaml.safe_load(yaml.safe_dump(spaces.plain(NESTED), sort_keys=False)))
    assert spaces.plain(again) == spaces.plain(NESTED)
    assert spaces.dimensions(again) == spaces.dimensions(NESTED)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("log(0, 1)", "must begin above zero"),
        ("log(-1, 1)", "must begin above zero"),
        ("real(1, 0)", "inverted"),
        ("real(1, 1)", "empty"),
        ("int(1, 2.5)", "whole numbers"),
        ("int(1)", "expected int"),
        ("real(a, b)", "expected numbers"),
        ("real(0, inf)", "finite"),
        ("real(0, 1, 1)", "at least 2 points"),
        ("int(1, 5, 0)", "step must be at least 1"),
        ([], "empty"),
        ("16, 16", "must differ"),
    ],
)
def test_ranges_that_cannot_be(text, words) -> None:
    with pytest.raises(UserError, match=words):
        spaces.parse("learning_rate", text)


def test_the_grid_is_every_point_once() -> None:
    found = list(spaces.grid(spaces.dimensions(NESTED)))
    assert len(found) == spaces.size(NESTED) == 3 * (1 + 3) * 2
    assert len({str(point) for point in found}) == len(found)
    assert all(("model_options.dropout_rate" in point) == (point["model"] == "mlp") for point in found)


@pytest.mark.parametrize(
    "range_", [Real(1e-4, 1e-1, log=True), Real(-2.0, 3.0), Integer(3, 11, 2), Choice("a", None, 3)]
)
def test_units_and_values_are_inverse(range_) -> None:
    for value in spaces.points(range_):
        again = spaces.from_unit(range_, spaces.to_unit(range_, value))
        assert again == pytest.approx(value) if isinstance(range_, Real) else again == value
    ends = [spaces.from_unit(range_, unit) for unit in (0.0, 1.0)]
    assert ends == [pytest.approx(spaces.points(range_)[0]), pytest.approx(spaces.points(range_)[-1])] or (
        ends == [spaces.points(range_)[0], spaces.points(range_)[-1]]
    )


def test_values_become_options() -> None:
    values = {"learning_rate": 0.01, "model": "mlp", "model_options.dropout_rate": 0.25, "batch_size": "32"}
    assert spaces.options(NESTED, values) == {
        "learning_rate": 0.01,
        "model": "mlp",
        "model_options": {"dropout_rate": 0.25},
        "batch_size": 32,
    }


def test_a_fixed_option_leaves_the_space_and_its_children_stay() -> None:
    assert list(spaces.without(NESTED, "model", "mlp")) == ["learning_rate", "model_options.dropout_rate", "batch_size"]
    assert list(spaces.without(NESTED, "model", "cnn")) == ["learning_rate", "batch_size"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learnin_rate": Real(0.0, 1.0)}, "Did you mean 'learning_rate'"),
        ({"augment.rotatio": Real(0.0, 1.0)}, "Did you mean 'rotation'"),
        ({"model": Choice("resnet2")}, "Did you mean 'resnet"),
        ({"model": Choice("cnn"), "model_options.filter": Choice([8])}, "Did you mean 'filters'"),
        ({"model_options.hidden_units": Choice([8])}, "hidden_units"),  # not an argument of all models of the space
        ({"optimizer": Choice("adam", "adm")}, "Did you mean 'adam'"),
        ({"batch_size": Real(1.0, 32.0)}, "whole number"),
        ({"batch_size": Integer(0, 32)}, "at least 1"),
        ({"data": Choice("digits")}, "belongs to the search as a whole"),
        ({"split.train": Real(0.1, 0.9)}, "belongs to the search as a whole"),
    ],
)
def test_spaces_an_application_refuses(settings, words) -> None:
    with pytest.raises(UserError, match=words):
        spaces.space_of(ImageClassification(), settings=settings)


def test_the_own_space_without_what_the_user_fixed() -> None:
    space = spaces.space_of(ImageClassification(model="mlp", batch_size=8), fixed=("model", "batch_size"))
    assert "model" not in space
    assert "batch_size" not in space
    assert "model_options.hidden_units" in space
