"""Instance segmentation without training and with little of it: targets, the way back, losses, learning by heart."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import zoo
from scipy import ndimage

import kerazoo
from kerazoo.detection import boundaries, flows, star_convex
from kerazoo.detection.star_convex import Thresholds
from kerazoo.losses import Cellpose, StarDist
from kerazoo.metrics.instances import average_precision

RANDOM = np.random.default_rng(0)


def scene(seed: int, touching: float = 1.1, size: int = 192, count: int = 24):
    from applications.datasets.simulators.fluorescence import NucleiParameters, simulate_nuclei

    return simulate_nuclei(NucleiParameters(size=size, num_nuclei=count, touching=touching, photons=100.0), seed)


@pytest.fixture(scope="module")
def separated() -> list[np.ndarray]:
    return [scene(seed).instances.astype(np.int32) for seed in range(2)]


# Without training: label images -> targets -> objects


def test_flows_lead_back_to_the_objects(separated: list[np.ndarray]) -> None:
    found = []
    for labels in separated:
        target = flows.flow_targets(labels)
        found.append(flows.flow_objects(target[..., :2], target[..., 2] > 0))
    np.testing.assert_array_equal(average_precision(separated, found, [0.5, 0.75, 0.9]), [1, 1, 1])
    backwards = flows.flow_objects(-target[..., :2], target[..., 2] > 0)
    assert average_precision([labels], [backwards], [0.5]) < 0.1


# With grid 2 what is left of an object at the edge of the image may lie between the grid and the border.
@pytest.mark.parametrize(("grid", "least"), [(1, (0.99, 0.97, 0.94)), (2, (0.95, 0.95, 0.9))])
def test_polygons_lead_back_to_the_objects(separated: list[np.ndarray], grid: int, least: tuple[float, ...]) -> None:
    found = []
    for labels in separated:
        target = star_convex.star_targets(labels, 32, grid=grid)
        found.append(star_convex.star_objects(target, labels.shape, 32, grid=grid))
    assert np.all(average_precision(separated, [labels for labels, _ in found], [0.5, 0.75, 0.9]) >= least)
    for labels, objects in found:
        assert labels.max() == len(objects.scores)
        for number, point in enumerate(objects.points, start=1):
            assert labels[tuple(point)] == number


def test_few_rays_are_coarse(separated: list[np.ndarray]) -> None:
    """What shows that the test above sees the outline."""
    found = [star_convex.star_objects(star_convex.star_targets(labels, 4), labels.shape, 4)[0] for labels in separated]
    assert average_precision(separated, found, [0.9]) < 0.2


# Star-convex objects


def _march(labels: np.ndarray, row: int, column: int, angle: float) -> float:
    """The recipe word by word, one ray of one pixel."""
    y, x, step = 0.0, 0.0, (np.sin(angle), np.cos(angle))
    while True:
        y, x = y + step[0], x + step[1]
        at = (int(np.floor(row + y + 0.5 + 1e-9)), int(np.floor(column + x + 0.5 + 1e-9)))
        inside = all(0 <= n < size for n, size in zip(at, labels.shape, strict=True))
        if not inside or labels[at] != labels[row, column]:
            back = 1 - 0.5 / max(abs(step[0]), abs(step[1]))
            return float(np.hypot(y - back * step[0], x - back * step[1]))


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_distances_are_those_of_the_recipe(grid: int) -> None:
    labels = scene(3, 0.85, 40, 4).instances.astype(int)
    distances = star_convex.star_distances(labels, 7, grid=grid)
    assert distances.shape == (-(-40 // grid), -(-40 // grid), 7)
    for row, column in np.ndindex(*distances.shape[:2]):
        y, x = row * grid, column * grid
        expected = [_march(labels, y, x, angle) if labels[y, x] else 0 for angle in 2 * np.pi * np.arange(7) / 7]
        np.testing.assert_allclose(distances[row, column], expected, atol=1e-4)


def test_probabilities_are_relative_depths() -> None:
    labels = np.zeros((9, 12), int)
    labels[2:7, 2:7], labels[2:7, 7:9], labels[0, 10] = 1, 2, -1
    found = star_convex.object_probabilities(labels)
    assert found[4, 4] == 1
    assert found[4, 3] == pytest.approx(2 / 3)
    assert found[4, 6] == pytest.approx(1 / 3)  # a touching object is as far as the background
    assert np.all(found[2:7, 7:9] == 1)
    assert found[0, 10] == -1
    assert found[0, 0] == 0
    np.testing.assert_array_equal(star_convex.object_probabilities(np.ones((5, 4), int)), 1)
    cut = star_convex.object_probabilities(np.pad(np.ones((3, 4), int), ((0, 3), (0, 0))))
    np.testing.assert_allclose(cut[:4, 0], [1, 2 / 3, 1 / 3, 0])


def test_area_and_pixels_of_a_polygon() -> None:
    circle = np.full(64, 10.25)  # no whole number lies between the square of this and of the radius inside
    assert star_convex.polygon_areas(circle[None])[0] == pytest.approx(np.pi * 10.25**2, rel=0.01)
    drawn = star_convex.draw_polygons(np.array([[15, 15]]), circle[None], (31, 31))
    y, x = np.mgrid[-15:16, -15:16]
    np.testing.assert_array_equal(drawn == 1, np.hypot(y, x) <= 10.25)
    square = star_convex.draw_polygons(np.array([[5, 5]]), np.full((1, 4), 3.4), (11, 11))
    np.testing.assert_array_equal(square > 0, abs(y[10:21, 10:21]) + abs(x[10:21, 10:21]) <= 3)


def test_slivers_between_objects_are_no_objects() -> None:
    points, distances = np.array([[20, 12], [20, 28], [20, 20]]), np.stack([np.full(32, r) for r in (9.0, 9.0, 5.0)])
    assert set(np.unique(star_convex.draw_polygons(points, distances, (40, 40)))) == {0, 1, 2}
    everything = star_convex.draw_polygons(points, distances, (40, 40), hidden=1.0)
    assert set(np.unique(everything)) == {0, 1, 2, 3}
    assert everything[20, 17] == 1
    np.testing.assert_array_equal(
        everything > 0, star_convex.draw_polygons(points[::-1], distances[::-1], (40, 40)) > 0
    )


def test_suppression_asks_for_the_smaller_area() -> None:
    """A small object inside of a large one goes, whatever their union is; touching ones stay."""
    points = np.array([[20, 20], [20, 24], [20, 42], [60, 60]])
    distances = np.stack([np.full(32, radius) for radius in (12.0, 4.0, 12.0, 5.0)])
    candidates = star_convex.Candidates(points, distances, np.array([0.7, 0.6, 0.9, 0.8]))
    assert star_convex.suppress(candidates, 0.4).tolist() == [2, 3, 0]
    assert star_convex.suppress(candidates, 0.02).tolist() == [2, 3, 1]
    assert len(star_convex.suppress(candidates.select(np.zeros(4, bool)))) == 0


def test_thresholds_are_found_on_validation_images() -> None:
    labels = scene(5, 0.85, 96, 10).instances.astype(np.int32)
    predicted = star_convex.star_targets(labels, 16)
    # A network that is unsure of everything, and sees an object where there is none.
    predicted[..., 0] *= 0.6
    row, column = np.argwhere(ndimage.distance_transform_edt(labels == 0)[8:-8, 8:-8] > 4)[0] + 8
    predicted[row, column, 0], predicted[row, column, 1:] = 0.3, 4.0
    thresholds, score = star_convex.optimize_thresholds([predicted], [labels], 16)
    assert 0.3 <= thresholds.probability < 0.6
    assert score == 1.0
    default = star_convex.star_objects(predicted, labels.shape, 16, thresholds=Thresholds(0.7))[0]
    assert default.max() == 0


def test_candidates_of_parts_are_those_of_the_whole() -> None:
    predicted = star_convex.star_targets(scene(1, size=64, count=4).instances.astype(int), 8)
    whole = star_convex.find_candidates(predicted, 8)
    parts = star_convex.concatenate(
        [
            star_convex.find_candidates(predicted[top : top + 20], 8, origin=(top, 0), size=(64, 64))
            for top in range(0, 64, 20)
        ]
    )
    for one, other in zip(whole[:3], parts[:3], strict=True):
        np.testing.assert_array_equal(one, other)


# Flows


def test_heat_spreads_as_in_the_recipe() -> None:
    labels = np.zeros((14, 15), int)
    labels[2:9, 3:8], labels[9:12, 3:13], labels[2:4, 10:12] = 4, 2, 7
    found = flows.labels_to_flows(labels)
    for number in (4, 2, 7):
        mask = labels == number
        rows, columns = np.nonzero(mask)
        nearest = np.argmin((rows - np.median(rows)) ** 2 + (columns - np.median(columns)) ** 2)
        heat = np.zeros(labels.shape)
        for _ in range(2 * (np.ptp(rows) + np.ptp(columns))):
            heat[rows[nearest], columns[nearest]] += 1
            heat = ndimage.uniform_filter(heat, 3, mode="constant") * mask
        heat = np.pad(np.log1p(heat), 1)
        gradient = np.stack([heat[2:, 1:-1] - heat[:-2, 1:-1], heat[1:-1, 2:] - heat[1:-1, :-2]], axis=-1)
        length = np.linalg.norm(gradient, axis=-1, keepdims=True)
        mask &= length[..., 0] > 1e-9  # right at the centre of a symmetric object there is no direction
        assert mask.sum() >= (labels == number).sum() - 1
        np.testing.assert_allclose(found[mask], (gradient / np.maximum(length, 1e-9))[mask], atol=1e-5)
    assert not found[labels == 0].any()


def test_following_samples_between_pixels() -> None:
    field = RANDOM.normal(0, 0.4, (9, 11, 2)).astype("float32")
    mask = np.ones((9, 11), bool)
    ends = flows.follow_flows(field, mask, steps=3)
    points = np.stack(np.nonzero(mask), axis=1).astype(float)
    for _ in range(3):
        move = [ndimage.map_coordinates(field[..., axis], points.T, order=1) for axis in (0, 1)]
        points = np.clip(points + np.stack(move, axis=1), 0, [8, 10])
    np.testing.assert_allclose(ends, points, atol=1e-4)


def test_inventions_are_found_out(separated: list[np.ndarray]) -> None:
    labels = separated[0]
    target = flows.labels_to_flows(labels)
    noise = RANDOM.normal(size=target.shape)
    noise /= np.linalg.norm(noise, axis=-1, keepdims=True)
    wrong = np.where((labels == 3)[..., None], noise, target)
    errors = flows.flow_errors(labels, wrong)
    assert errors[2] > 0.4
    assert np.delete(errors, 2).max() < 0.05


def test_holes_and_crumbs() -> None:
    labels = np.zeros((20, 20), np.int32)
    labels[2:9, 2:9], labels[4, 4], labels[15, 15:17], labels[12:19, 1:9] = 5, 0, 2, 9
    found = flows.fill_and_drop(labels, 15)
    assert sorted(np.unique(found)) == [0, 1, 2]
    assert found[4, 4] == found[2, 2] > 0
    assert found[15, 15] == 0


def test_diameter_of_discs() -> None:
    labels = star_convex.draw_polygons(np.array([[20, 20], [60, 60]]), np.full((2, 64), 10.5), (90, 90))
    assert flows.mean_diameter(labels) == pytest.approx(21, rel=0.02)
    assert flows.mean_diameter(np.zeros((3, 3), int)) == 0


# Boundaries


def test_watershed_is_that_of_scikit_image() -> None:
    from skimage.segmentation import watershed as theirs

    mask = scene(4, 0.85, 96, 12).instances > 0
    depth = ndimage.gaussian_filter(ndimage.distance_transform_edt(mask), 1.0)
    markers = ndimage.label((depth == ndimage.maximum_filter(depth, 9)) & mask)[0]
    found, expected = boundaries.watershed(depth, markers, mask), theirs(-depth, markers, mask=mask)
    assert (found != expected).mean() < 0.01
    assert not found[~mask].any()
    assert not boundaries.watershed(depth, markers * 0, mask).any()
    assert not boundaries.watershed(depth, markers, mask & False).any()


def test_boundaries_lead_back_to_the_objects(separated: list[np.ndarray]) -> None:
    """Also in a volume, whose cells touch each other everywhere, as those of a tissue."""
    points = np.random.default_rng(0).uniform(0, 30, (8, 3))
    place = np.stack(np.mgrid[:26, :30, :30], axis=-1)
    tissue = ((place[..., None, :] - points) ** 2).sum(-1).argmin(-1) + 1
    for labels in (separated[0], tissue):
        classes = boundaries.boundary_classes(labels)
        found = boundaries.boundary_objects(np.eye(3)[classes])
        assert average_precision([labels], [found], [0.75])[0] >= 0.99


# Losses


@pytest.mark.parametrize("classes", [0, 2])
def test_stardist_loss(classes: int) -> None:
    rays = 5
    d, r = RANDOM.uniform(0, 1, (2, 4, 3)), RANDOM.uniform(0, 9, (2, 4, 3, rays))
    d[0, :2, 0], d[1, 0, 1] = -1, 0
    p, r2 = RANDOM.uniform(0.05, 0.95, (2, 4, 3)), RANDOM.uniform(0, 9, (2, 4, 3, rays))
    kinds, q = RANDOM.integers(0, classes + 1, (2, 4, 3)), RANDOM.dirichlet(np.ones(classes + 1), (2, 4, 3))
    true = np.concatenate([d[..., None], r, *[kinds[..., None]] * bool(classes)], axis=-1)
    predicted = np.concatenate([p[..., None], r2, *[q] * bool(classes)], axis=-1)
    counts, depth = d >= 0, np.maximum(d, 0)
    expected = np.mean(counts * (-depth * np.log(p) - (1 - depth) * np.log(1 - p)))
    expected += 0.3 * np.mean(depth[..., None] * abs(r - r2)) / depth.mean()
    expected += 0.3 * 0.01 * np.mean((counts * (1 - depth))[..., None] * abs(r2))
    if classes:
        expected += 2 * np.mean(counts * -np.log(np.take_along_axis(q, kinds[..., None], -1)[..., 0]))
    loss = StarDist(rays, distance_weight=0.3, background_weight=0.01, class_weight=2.0)
    found = loss(true.astype("float32"), predicted.astype("float32"))
    assert float(found) == pytest.approx(expected, rel=1e-4)
    assert StarDist.from_config(loss.get_config()).get_config() == loss.get_config()


@pytest.mark.parametrize("classes", [0, 2])
def test_cellpose_loss(classes: int) -> None:
    f, m = RANDOM.normal(size=(2, 4, 3, 2)), RANDOM.integers(-1, 2, (2, 4, 3))
    f2, z = RANDOM.normal(size=(2, 4, 3, 2)), RANDOM.normal(size=(2, 4, 3)) * 3
    kinds, q = RANDOM.integers(0, classes + 1, (2, 4, 3)), RANDOM.dirichlet(np.ones(classes + 1), (2, 4, 3))
    true = np.concatenate([f, m[..., None], *[kinds[..., None]] * bool(classes)], axis=-1)
    predicted = np.concatenate([f2, z[..., None], *[q] * bool(classes)], axis=-1)
    counts, likely = m >= 0, 1 / (1 + np.exp(-z))
    expected = np.mean(counts[..., None] * (5 * f - f2) ** 2) / 2
    expected += np.mean(counts * np.where(m == 1, -np.log(likely), -np.log(1 - likely)))
    if classes:
        expected += np.mean(counts * -np.log(np.take_along_axis(q, kinds[..., None], -1)[..., 0]))
    loss = Cellpose()
    assert float(loss(true.astype("float32"), predicted.astype("float32"))) == pytest.approx(expected, rel=1e-4)
    assert Cellpose.from_config(loss.get_config()).get_config() == loss.get_config()


# Networks


@pytest.mark.parametrize(("name", "channels"), [("stardist", 9), ("cellpose", 3)])
def test_a_head_for_classes(name: str, channels: int) -> None:
    model = zoo.fresh(name, num_classes=2)
    assert model.output_shape[-1] == channels + 3
    (found,) = zoo.outputs(model, zoo.batch(name)[0])
    np.testing.assert_allclose(found[..., channels:].sum(-1), 1, rtol=1e-5)


@pytest.mark.parametrize("grid", [1, 2, 4])
def test_grid_of_odd_sizes_is_that_of_the_targets(grid: int) -> None:
    with zoo.cheap_weights():
        model = zoo.fresh("stardist", input_shape=(37, 45, 1), grid=grid)
    assert model.output_shape[1:3] == star_convex.object_probabilities(np.zeros((37, 45), int), grid=grid).shape


def test_style_is_a_unit_vector_that_every_step_up_sees() -> None:
    model = zoo.built("cellpose")
    style = keras.Model(model.input, model.get_layer("style").output)(zoo.batch("cellpose")[0])
    np.testing.assert_allclose(np.linalg.norm(zoo.value(style)[:, 0, 0], axis=-1), 1, rtol=1e-5)
    assert sum(layer.name.endswith("_style") for layer in model.layers) == 3 * 4
    assert not any("style" in layer.name for layer in zoo.fresh("cellpose", use_style=False).layers)


@pytest.mark.parametrize("name", ["stardist", "cellpose"])
def test_learns_one_image_by_heart(name: str) -> None:
    """From random initial weights, objects that touch: the whole road with a network in it."""
    picture = scene(7, 0.85, 48, 4)
    labels = picture.instances.astype(np.int32)
    image = kerazoo.percentile_normalise(picture.image, 1, 99.8)[None, ..., None]
    if name == "stardist":
        target, loss = star_convex.star_targets(labels, 16), StarDist(16)
        options, steps = {"num_rays": 16, "depth": 2, "filters": 12, "head_filters": 24}, 250
    else:
        target, loss, options, steps = flows.flow_targets(labels), Cellpose(), {"filters": (8, 16)}, 100
    keras.utils.set_random_seed(0)
    model = kerazoo.create_model(name, image.shape[1:], **options)
    model.compile(keras.optimizers.Adam(5e-3), loss, jit_compile=False)
    for _ in range(steps):
        model.train_on_batch(image, target[None])
    found = zoo.value(model.predict_on_batch(image))[0]
    if name == "stardist":
        thresholds, _ = star_convex.optimize_thresholds([found], [labels], 16)
        objects = star_convex.star_objects(found, labels.shape, 16, thresholds=thresholds)[0]
    else:
        objects = flows.flow_objects(found[..., :2] / flows.FLOW_SCALE, found[..., 2] > 0)
    assert average_precision([labels], [objects], [0.5])[0] >= 0.99
