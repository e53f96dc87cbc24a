"""The pictures show what they were given: the arrays behind them are compared, not their looks."""

import io
import subprocess
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from applications.core import figures

NASTY = [
    "<script>alert('x')</script>",
    "été & hiver",
    'a "quoted" $a_1$',
    "x" * 90,
    "猫",
    "two\nlines",
    r"$\no{formula$",
]


def pixels(figure):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return np.asarray(Image.open(io.BytesIO(figures.png(figure))).convert("RGB"))


def has_colour(picture, hexadecimal):
    return (picture == [int(hexadecimal[i : i + 2], 16) for i in (1, 3, 5)]).all(-1).any()


def rows(count):
    return [
        {
            "epoch": epoch,
            "loss": 1 / epoch,
            "accuracy": 1 - 1 / epoch,
            "val_loss": 1.1 / epoch,
            "val_accuracy": 0.9 - 1 / epoch,
            "learning_rate": 0.1 / epoch,
        }
        for epoch in range(1, count + 1)
    ]


def test_importing_costs_no_matplotlib():
    code = (
        "import sys, applications.core.figures, applications.core.report;"
        "print({'matplotlib', 'jinja2', 'tensorflow', 'keras', 'sklearn'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_learning_curves_show_every_value():
    history = rows(20)
    figure = figures.learning_curves(history, best_epoch=17)
    panels = {axes.get_title(loc="left"): axes for axes in figure.axes}
    assert list(panels) == ["loss", "accuracy", "learning rate"]
    training, validation, best = panels["loss"].lines
    np.testing.assert_allclose(training.get_xdata(), [row["epoch"] for row in history])
    np.testing.assert_allclose(training.get_ydata(), [row["loss"] for row in history])
    np.testing.assert_allclose(validation.get_ydata(), [row["val_loss"] for row in history])
    assert best.get_xdata() == [17, 17]
    assert panels["learning rate"].get_yscale() == "log"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["training", "validation", "best epoch (17)"]
    picture = pixels(figure)
    assert has_colour(picture, figures.TRAIN)
    assert has_colour(picture, figures.VALIDATION)


def test_learning_curves_of_one_epoch_have_a_marker():
    figure = figures.learning_curves(rows(1))
    assert figure.axes[0].lines[0].get_marker() == "o"
    assert has_colour(pixels(figure), figures.TRAIN)


def test_learning_curves_skip_gaps():
    history = [{"epoch": 1, "loss": float("nan")}, {"epoch": 2, "loss": 0.5, "accuracy": 0.7}, {"epoch": 3}]
    loss, accuracy = figures.learning_curves(history).axes
    assert list(loss.lines[0].get_ydata()) == [0.5]
    assert list(accuracy.lines[0].get_xdata()) == [2]
    assert pixels(figures.learning_curves([])).size


def test_confusion_matrix_has_counts_and_shares():
    matrix = np.array([[8, 2, 0], [0, 5, 5], [0, 0, 0]])
    axes = figures.confusion_matrix(matrix, ["a", "b", "c"]).axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2, 0], [0, 0.5, 0.5], [0, 0, 0]])
    cells = {text.get_position(): text.get_text() for text in axes.texts}
    assert cells == {(0, 0): "8", (1, 0): "2", (1, 1): "5", (2, 1): "5"}  # (predicted, true)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true")


def test_confusion_matrix_of_pixels_has_short_counts():
    axes = figures.confusion_matrix(np.array([[12_345, 9_999], [3_456_789, 98_765_432]]), ["a", "b"]).axes[0]
    assert [text.get_text() for text in axes.texts] == ["12k", "9999", "3.5M", "99M"]


def test_confusion_matrix_of_many_classes_has_no_numbers_and_few_names():
    names = [f"class {index}" for index in range(100)]
    axes = figures.confusion_matrix(np.eye(100, dtype=int), names).axes[0]
    assert not axes.texts
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert 20 <= len(labels) <= 26
    assert labels == [names[int(tick)] for tick in axes.get_yticks()]


def test_confusion_matrix_of_the_wrong_size():
    with pytest.raises(ValueError, match=r"matrix of 2 classes is needed, received shape \(3, 3\)"):
        figures.confusion_matrix(np.eye(3), ["a", "b"])


def test_nasty_names_are_drawn_as_they_are():
    size = len(NASTY)
    figure = figures.confusion_matrix(np.eye(size, dtype=int), NASTY)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[:3] == ["<script>alert('x'…", "été & hiver", 'a "quoted" $a_1$']
    assert labels[3:] == ["x" * 17 + "…", "猫", "two lines", r"$\no{formula$"]
    images = [np.zeros((4, 4))] * size
    masks = [np.eye(8, dtype=int)]
    for drawn in (
        figure,
        figures.image_grid(images, NASTY),
        figures.per_class_bars({"f1": [0.5] * size}, NASTY),
        figures.segmentation_panels([np.zeros((8, 8))], masks, masks, NASTY),
    ):
        picture = pixels(drawn)
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert (border == 255).all(), "something is cut off at the edge"


def test_image_grid_marks_right_and_wrong():
    images = [np.eye(8), np.zeros((5, 7, 3), "uint8"), np.full((9, 9, 4), 1000, "uint16")]
    figure = figures.image_grid(images, ["cat", "dog", "a rather long name of a class"], [True, False, None])
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["✓ cat", "✗ dog", "a rather long name\nof a class"]
    colours = [axes.title.get_color() for axes in figure.axes]
    assert colours == [figures.RIGHT, figures.WRONG, "#222222"]
    assert [axes.images[0].get_array().shape[:2] for axes in figure.axes] == [(8, 8), (5, 7), (9, 9)]
    assert figure.axes[0].images[0].get_interpolation() == "nearest"
    assert pixels(figure).size
    assert pixels(figures.image_grid([], [])).size


def test_image_grid_needs_a_title_for_each_image():
    with pytest.raises(ValueError, match="zip"):
        figures.image_grid([np.eye(3)], ["a", "b"])


def test_large_images_are_smoothed():
    figure = figures.image_grid([np.eye(300)], ["large"])
    assert figure.axes[0].images[0].get_interpolation() == "antialiased"


@pytest.mark.parametrize("dtype", ["uint16", "float32", "int32"])
def test_display_stretches_deep_images(dtype):
    ramp = np.linspace(300, 900, 64 * 64).reshape(64, 64).astype(dtype)
    ramp[0, 0] = 10 if dtype == "uint16" else -5000  # one dead pixel must not flatten the rest
    shown = figures.display_image(ramp)
    assert (shown.dtype, shown.shape) == ("uint8", (64, 64, 3))
    assert shown[1:].min() < 10
    assert shown.max() == 255
    assert abs(int(shown[32, 0, 0]) - 127) < 6


def test_display_of_special_images():
    photograph = np.arange(2 * 3 * 3, dtype="uint8").reshape(2, 3, 3) * 14
    np.testing.assert_array_equal(figures.display_image(photograph), photograph)
    assert (figures.display_image(np.full((4, 4), 7.0)) == 127).all()
    assert figures.display_image(np.eye(4, dtype="uint8")).max() == 255  # digits and masks are dark in 8 bits
    assert figures.display_image(np.random.default_rng(0).random((4, 4, 2)))[..., 2].max() == 0
    assert figures.display_image(np.array([[np.nan, 1.0], [2.0, np.inf]])).shape == (2, 2, 3)


def test_error_map_tells_the_kinds_apart():
    truth = np.array([[0, 1, 1, 2]])
    prediction = np.array([[1, 0, 1, 1]])
    shown = figures.error_map(np.zeros((1, 4)), truth, prediction)[0]
    expected = [figures.ERRORS["extra"], figures.ERRORS["missed"], None, figures.ERRORS["wrong class"]]
    for pixel, colour in zip(shown, expected, strict=True):
        if colour is None:
            assert len(set(pixel)) == 1  # grey
        else:
            assert "#" + "".join(f"{value:02x}" for value in pixel) == colour


def test_segmentation_panels():
    truth = np.zeros((20, 30), int)
    truth[5:15, 5:15] = 1
    prediction = np.roll(truth, 3, 1)[..., None]
    figure = figures.segmentation_panels(
        [np.ones((20, 30, 1), "uint16")] * 2, [truth] * 2, [prediction] * 2, ["background", "cell"]
    )
    assert len(figure.axes) == 8
    assert [axes.get_title() for axes in figure.axes[:4]] == ["image", "truth", "prediction", "errors"]
    shown = figure.axes[1].images[0].get_array()
    np.testing.assert_array_equal((shown != 0).any(-1), truth == 1)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == ["background", "cell", "error: missed", "error: extra"]
    picture = pixels(figure)
    assert has_colour(picture, figures.ERRORS["missed"])
    assert has_colour(picture, figures.ERRORS["extra"])


def test_overlay_leaves_the_background_and_outlines_the_classes():
    image = np.full((9, 9, 3), 100, "uint8")
    mask = np.zeros((9, 9), int)
    mask[2:7, 2:7] = 1
    shown = figures.overlay(image, mask)
    assert (shown.dtype, shown.shape) == ("uint8", (9, 9, 3))
    assert (shown[mask == 0] == 100).all()
    colour = figures.class_colours(2)[1].astype(int)
    assert (shown[6, 4] == colour).all()  # the outline
    np.testing.assert_allclose(shown[4, 4], 100 + 0.4 * (colour - 100), atol=1)


def test_class_colours_differ():
    colours = figures.class_colours(60)
    assert (colours[0] == 0).all()
    assert len({tuple(colour) for colour in colours}) == 60


def test_per_class_bars_show_the_lowest_of_many():
    values = np.linspace(1, 0, 100)
    axes = figures.per_class_bars({"f1": values, "recall": values}, [f"c{i}" for i in range(100)]).axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == [f"c{i}" for i in range(99, 69, -1)]
    assert "30 lowest of 100" in axes.get_title(loc="left")
    np.testing.assert_allclose([bar.get_width() for bar in axes.containers[0]], values[::-1][:30])


def test_per_class_bars_accept_gaps():
    figure = figures.per_class_bars({"f1": [float("nan"), 0.5]}, ["a", "b"])
    assert pixels(figure).size
