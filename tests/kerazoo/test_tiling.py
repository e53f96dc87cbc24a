"""Prediction in windows: that of the whole image, the receptive field it rests on, memory, and what is refused."""

import keras
import numpy as np
import pytest
from keras import layers
from zoo import models, perturb

import kerazoo
from kerazoo._receptive_field import receptive_field
from kerazoo.tiling import _cut, _from_graph, largest_window


def dilated(shape=(None, None, 1)):
    """Strides, dilations, both paddings, a transposed convolution with an odd kernel, an average without stride."""
    inputs = keras.Input(shape)
    x = layers.ZeroPadding2D(1)(inputs)
    x = layers.Conv2D(3, 4, strides=2, activation="relu")(x)
    x = layers.Conv2D(3, 3, dilation_rate=(2, 3), padding="same", activation="relu")(x)
    x = layers.AveragePooling2D(3, strides=1, padding="same")(x)
    x = layers.Conv2DTranspose(3, 5, strides=2, padding="same")(x)
    x = layers.UpSampling2D(2, interpolation="nearest")(layers.MaxPooling2D(2)(x))
    return keras.Model(inputs, layers.Conv2D(2, 3, padding="same")(x), name="dilated")


NETWORKS = {
    "unet": lambda: kerazoo.unet((None, None, 1), 2, filters=2, depth=2, classifier_activation=None),
    "unet_small": lambda: kerazoo.unet_small((None, None, 1), 1, filters=2, depth=1, classifier_activation=None),
    "resunet": lambda: kerazoo.resunet((None, None, 1), 2, filters=2, classifier_activation=None),
    "segnet": lambda: kerazoo.segnet((None, None, 1), 2, filters=1, classifier_activation=None),
    "unet3d": lambda: kerazoo.unet3d(
        (None, None, None, 1), 2, filters=1, depth=1, padding="same", classifier_activation=None
    ),
    "srresnet": lambda: kerazoo.srresnet((None, None, 1), 1, scale=2, filters=2, num_blocks=1),
    "global_skip": lambda: kerazoo.srresnet((None, None, 1), 1, scale=2, filters=2, num_blocks=1, global_skip=True),
    "dilated": dilated,
}
LARGE = {"segnet"}  # five halvings: their margin is tested by the brute force alone


def image(shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, shape).astype("float32")


def whole(model, picture):
    """The network on the whole image, continued to what it needs."""
    field = receptive_field(model)
    missing = [(0, -size % multiple) for size, multiple in zip(picture.shape, field.multiple, strict=False)]
    found = keras.tree.flatten(model(np.pad(picture, [*missing, (0, 0)], mode="reflect")[None], training=False))
    sizes = [[int(-(-size * s // 1)) for size, s in zip(picture.shape, scale, strict=False)] for scale in field.scales]
    return [np.asarray(y)[0][tuple(map(slice, size))] for y, size in zip(found, sizes, strict=True)]


@pytest.mark.parametrize("name", NETWORKS)
def test_the_receptive_field_is_that_of_a_brute_force(name):
    """With kernels of ones and an empty image exactly those outputs are not zero that see the one bright pixel."""
    model = NETWORKS[name]()
    for weight in model.weights:
        if weight.name.endswith("kernel"):
            weight.assign(np.ones(weight.shape))
    field = receptive_field(model)
    multiple, scale, margin = field.multiple[-1], int(field.scales[0][-1]), field.margin[-1]
    middle = -(-(margin + multiple) // multiple) * multiple
    strip = np.zeros((multiple, *field.multiple[:-1], 2 * middle + multiple, 1), "float32")
    for pixel in range(multiple):
        strip[pixel, ..., middle + pixel, 0] = 1.0
    seen = np.asarray(model(strip, training=False)) != 0
    if name == "global_skip":  # its output is moved by -1
        seen = np.asarray(model(strip, training=False)) != -1
    columns = seen.reshape(multiple, -1, seen.shape[-2], seen.shape[-1]).any((1, 3))
    inputs, outputs = np.nonzero(columns)
    period = outputs // (multiple * scale) * multiple
    reach = max((period - middle - inputs).max(), (middle + inputs + 1 - period - multiple).max())
    assert margin == reach > 0


@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in LARGE])
def test_windows_give_what_the_whole_image_gives(name):
    model = NETWORKS[name]()
    perturb(model, spread=0.3)
    field = receptive_field(model)
    multiple = np.array(field.multiple)
    margin = -(-np.array(field.margin) // multiple) * multiple
    tile = 2 * margin + 2 * multiple
    picture = image((*(tile + 3 * multiple + 1), 1))
    calls = []
    found = kerazoo.predict_tiled(
        model,
        picture,
        tile_size=tuple(tile.tolist()),
        batch_size=3,
        progress=lambda done, all_: calls.append((done, all_)),
    )
    (wanted,) = whole(model, picture)
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5 * max(1, np.abs(wanted).max()))
    assert calls[-1][0] == calls[-1][1] >= 2 ** len(multiple)
    narrow = kerazoo.predict_tiled(model, picture, tile_size=tuple(tile.tolist()), margin=0)
    assert np.abs(narrow - wanted).max() > 1e-4, "a margin that is too narrow is seen"


@pytest.mark.parametrize("name", models(lambda card: card.kind == "image_to_image"))
def test_every_network_from_image_to_image_can_be_cut(name):
    card = kerazoo.model_card(name)
    shape = tuple(card.test_config["input_shape"])
    model = kerazoo.create_model(name, **{**card.test_config, "input_shape": (*(None,) * (len(shape) - 1), shape[-1])})
    field = receptive_field(model)
    assert all(card.size_multiple % multiple == 0 or multiple == 1 for multiple in field.multiple)
    assert all(margin > 0 for margin in field.margin)


def test_every_pixel_is_written_once():
    for size, tile, margin, multiple in [
        (100, 32, 5, 4),
        (33, 32, 0, 1),
        (97, 24, 8, 8),
        (31, 32, 4, 4),
        (65, 48, 7, 8),
    ]:
        axis = _cut(size, None, tile, margin, multiple, exact=True)
        assert axis.parts[0][0] == 0
        assert axis.parts[-1][1] == size
        assert all(a[1] == b[0] for a, b in zip(axis.parts, axis.parts[1:], strict=False))
        inner = zip(axis.starts, axis.parts, strict=True)
        for index, (start, (first, last)) in enumerate(inner):
            assert start % multiple == 0
            assert first - start >= (margin if index else 0)
            assert index == len(axis.starts) - 1 or start + axis.window - last >= margin


def test_several_outputs_come_as_a_tuple_each_in_its_size():
    inputs = keras.Input((None, None, 2), name="picture")
    x = layers.Conv2D(3, 5, padding="same", name="full")(inputs)
    half = layers.Conv2D(1, 3, strides=2, padding="same", name="half")(x)
    model = keras.Model(inputs, {"half": half, "full": x})
    picture = image((51, 45, 2))
    found = kerazoo.predict_tiled(model, picture, tile_size=24)
    assert isinstance(found, tuple)
    for mine, wanted in zip(found, whole(model, picture), strict=True):
        np.testing.assert_allclose(mine, wanted, atol=1e-5)


def test_a_model_of_fixed_size_has_windows_of_its_own_size():
    model = kerazoo.unet((48, 48, 1), 2, filters=2, depth=1, classifier_activation=None)
    open_model = kerazoo.unet((None, None, 1), 2, filters=2, depth=1, classifier_activation=None)
    open_model.set_weights(model.get_weights())
    picture = image((75, 60, 1))
    np.testing.assert_allclose(kerazoo.predict_tiled(model, picture), whole(open_model, picture)[0], atol=1e-5)
    odd = kerazoo.unet((47, 48, 1), 2, filters=2, depth=1)
    assert kerazoo.predict_tiled(odd, image((47, 48, 1))).shape == (47, 48, 2)
    with pytest.raises(ValueError, match=r"windows of 47 pixels .* multiples of 2"):
        kerazoo.predict_tiled(odd, picture)


def test_blended_windows_average_to_one():
    class Same(layers.Layer):
        def call(self, inputs):
            return inputs * 1.0

    inputs = keras.Input((None, None, 1))
    model = keras.Model(inputs, Same()(inputs))
    picture = image((70, 51, 1))
    found = kerazoo.predict_tiled(model, picture, mode="blend", tile_size=32, multiple=8)
    np.testing.assert_allclose(found, picture, atol=1e-6)
    with pytest.raises(ValueError, match=r"needs margin= and multiple= .*Same"):
        kerazoo.predict_tiled(model, picture)
    found = kerazoo.predict_tiled(model, picture, tile_size=32, margin=0, multiple=1)
    np.testing.assert_array_equal(found, picture)


def test_whole_image_operations_are_refused_in_exact_mode_only():
    inputs = keras.Input((None, None, 1))
    x = layers.Conv2D(2, 3, padding="same")(inputs)
    style = layers.GlobalAveragePooling2D(keepdims=True, name="style")(x)
    model = keras.Model(inputs, layers.Add()([x, style]))
    with pytest.raises(ValueError, match=r"mode='exact' is out of reach .*style.*use mode='blend'"):
        kerazoo.predict_tiled(model, image((40, 40, 1)))
    assert kerazoo.predict_tiled(model, image((40, 40, 1)), mode="blend", tile_size=32).shape == (40, 40, 2)


def test_files_are_read_and_written_in_pieces(tmp_path):
    """A memory map comes in and goes out; never is more of it read than a window."""

    class Slices:
        shape, largest = (300, 260, 1), 0

        def __getitem__(self, key):
            part = source[key]
            type(self).largest = max(self.largest, part.size)
            return part

    source = np.memmap(tmp_path / "in.raw", "uint16", "w+", shape=(300, 260, 1))
    source[:] = (image(source.shape) * 60000).astype("uint16")
    target = np.memmap(tmp_path / "out.raw", "float32", "w+", shape=(300, 260, 2))
    model = kerazoo.unet((None, None, 1), 2, filters=2, depth=1, classifier_activation=None)
    assert kerazoo.predict_tiled(model, Slices(), tile_size=64, output=target) is target
    np.testing.assert_allclose(target, whole(model, np.asarray(source, "float32"))[0], rtol=1e-4, atol=0.1)
    assert Slices.largest == 64 * 64


BAD = [
    ({"mode": "tiled"}, "mode must be one of"),
    ({"tile_size": 0}, "tile_size must be a whole number"),
    ({"tile_size": 16}, "windows of 16 pixels are too small .* from .* on"),
    ({"tile_size": (64, 64, 64)}, "tile_size must be one number or one for each of the 2 axes"),
    ({"output": np.zeros((80, 80, 2), "uint8")}, "output must be an array of floats"),
    ({"output": np.zeros((80, 80, 1), "float32")}, r"of shape \(80, 80, 2\)"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_bad_arguments_are_told(options, message):
    model = kerazoo.unet((None, None, 1), 2, filters=1, depth=1)
    with pytest.raises(ValueError, match=message):
        kerazoo.predict_tiled(model, image((80, 80, 1)), **options)


def test_bad_images_and_models_are_told():
    model = kerazoo.unet((None, None, 1), 2, filters=1, depth=1)
    for shape in ((80, 80), (80, 80, 3), (2, 80, 80, 1), (0, 80, 1)):
        with pytest.raises(ValueError, match=r"image must be \(height, width, 1 channel"):
            kerazoo.predict_tiled(model, np.zeros(shape))
    with pytest.raises(ValueError, match="one image or volume as its input"):
        kerazoo.predict_tiled(kerazoo.mlp((4,), 2), np.zeros((8, 8, 1)))
    valid = kerazoo.unet((44, 44, 1), 2, filters=1, depth=1, padding="valid")
    with pytest.raises(ValueError, match="needs an output of the input's size"):
        kerazoo.predict_tiled(valid, np.zeros((44, 44, 1)))


def test_percentiles_become_zero_and_one():
    pixels = np.arange(101, dtype="uint16").reshape(101, 1) * [1, 7]
    found = kerazoo.percentile_normalise(pixels, 10, 90, axis=0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[[10, 90, 100]], [[0, 0], [1, 1], [1.125, 1.125]], atol=1e-6)
    np.testing.assert_array_equal(kerazoo.percentile_normalise(np.full((4, 4), 7)), 0)
    for bad, message in [((5, 5), "low < high"), ((-1, 50), "low < high"), ((0, 101), "low < high")]:
        with pytest.raises(ValueError, match=message):
            kerazoo.percentile_normalise(pixels, *bad)
    with pytest.raises(ValueError, match="not finite"):
        kerazoo.percentile_normalise([1.0, np.nan])
    with pytest.raises(ValueError, match="without pixels"):
        kerazoo.percentile_normalise(np.zeros((0, 4)))


def test_windows_are_smaller_where_maps_are_large():
    model = kerazoo.srresnet((None, None, 1), 1, filters=8, num_blocks=1)
    numbers = 16 * (8 + 8)  # of the last activation, at four times the size, there and back, for a pixel of the input
    assert largest_window(model, 4 * numbers * 100**2) == 100
    assert largest_window(model, 2 * 4 * numbers * 100**2) == 141
    assert _from_graph(kerazoo.srresnet((None, None, 3), 3), "exact", None, None, None)[3] == (256, 256)
    assert _from_graph(kerazoo.noise2void((None, None, 1), 1), "exact", None, None, None)[3] == (512, 512)
    *_, margins, _, tiles = _from_graph(kerazoo.unet((None, None, 1), 2), "exact", None, None, None)
    assert 512 < tiles[0] < 8 * margins[0]
    volumes = NETWORKS["unet3d"]()
    margin, _, cubes = _from_graph(volumes, "exact", None, None, None)[1:]
    assert cubes[0] == largest_window(volumes) > 3 * margin[0]


def test_auto_is_exact_where_the_network_allows_it():
    exact, whole_image = kerazoo.noise2void((None, None, 1), 1), kerazoo.cellpose((None, None, 1))
    assert _from_graph(exact, "auto", None, None, None)[0] == "exact"
    assert _from_graph(whole_image, "auto", None, None, None)[0] == "blend"
    assert _from_graph(kerazoo.noise2void((48, 48, 1), 1), "auto", None, None, None)[0] == "blend"
    assert _from_graph(kerazoo.noise2void((64, 64, 1), 1), "auto", None, None, None)[0] == "exact"
