"""The application `atom-finding`: points of CSV files, simulated lattices and walls, a run, bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from applications.atom_finding import AtomFinding, filtered_peaks
from applications.core.errors import UserError
from applications.datasets.data import load_segmentation
from applications.datasets.points import load_points, with_discs
from applications.datasets.simulators.hrtem import HrtemParameters, simulate_hrtem
from applications.datasets.simulators.lattices import LATTICES, LatticeParameters, simulate_lattice
from applications.datasets.simulators.walls import WallParameters, simulate_walls
from kerazoo.metrics.points import match_points, nearest_neighbour_distance, pooled
from tests.applications.conftest import command

QUICK = (
    *("--no-tensorboard", "--epochs", "1", "--batch-size", "4", "--crop-size", "32"),
    *("--model-options.filters", "4", "--model-options.depth", "2", "--learning-rate", "0.01"),
)


def dots(folder: Path, count: int = 8, classes: bool = True) -> Path:
    """Bright dots at places to a tenth of a pixel, the large ones of a class of their own."""
    y, x = np.mgrid[:48, :40]
    for number in range(count):
        random = np.random.default_rng(number)
        grid = np.stack(np.meshgrid(np.arange(3), np.arange(3), indexing="ij"), axis=-1).reshape(-1, 2)
        points = (8 + 13 * grid + random.uniform(-2, 2, grid.shape)).round(1)
        big = random.random(9) < 0.5
        image = 20 + sum(
            200 * np.exp(-((y - a) ** 2 + (x - b) ** 2) / (8 if c else 3))
            for (a, b), c in zip(points, big, strict=True)
        )
        (folder / "images").mkdir(parents=True, exist_ok=True)
        (folder / "points").mkdir(exist_ok=True)
        Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).save(folder / "images" / f"{number}.png")
        rows = [
            f"{a},{b}{',' + ('big' if c else 'small') if classes else ''}"
            for (a, b), c in zip(points, big, strict=True)
        ]
        head = "y,x,class" if classes else "y,x"
        (folder / "points" / f"{number}.csv").write_text("\n".join([head, *rows]) + "\n")
    return folder


def test_points_of_csv_files(tmp_path: Path) -> None:
    (dots(tmp_path) / "points" / "3.csv").write_text("y,x,class\n")
    found = load_points(str(tmp_path), pixel_size=12.5)
    assert found.class_names == ("ground", "big", "small")
    assert [len(points) for points in found.points] == [9, 9, 9, 0, 9, 9, 9, 9]
    assert found.pixel_size == found.about()["pixel_size"] == 12.5
    assert set(found.point_classes[0]) <= {1, 2}
    drawn = with_discs(found, 2.0)
    assert drawn.fingerprint != load_points(str(dots(tmp_path / "other", classes=False))).fingerprint
    y, x = np.rint(found.points[0]).astype(int).T
    assert np.array_equal(drawn.masks[0][y, x, 0], found.point_classes[0])
    assert not drawn.masks[3].any()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n2,3\n", "needs the columns y and x, it has a, b"),
        ("y,x\n1,2\n60,3\n", r"line 3: y = 60, x = 3 lies outside the image of 48 rows and 40 columns"),
        ("y,x\n1,2\n3,\n", "line 3 needs two numbers"),
        ("y,x,class\n1,2,big\n3,4,\n", "line 3 needs two numbers, y and x, and a class"),
        (None, "has no CSV file of the same name in 'points'"),
    ],
)
def test_bad_points(tmp_path: Path, text: str | None, sentence: str) -> None:
    file = dots(tmp_path) / "points" / "2.csv"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(UserError, match=sentence):
        load_points(str(tmp_path))
    assert len(load_points(str(tmp_path), on_bad_file="skip")) == 7


def test_data_that_hold_no_point(tmp_path: Path) -> None:
    dots(tmp_path)
    for file in (tmp_path / "points").glob("*.csv"):
        file.write_text("y,x\n")
    with pytest.raises(UserError, match="hold no point; there is nothing to learn"):
        load_points(str(tmp_path))
    with pytest.raises(UserError, match="that of 'lattices' is set by"):
        load_points("lattices", pixel_size=3.0)
    with pytest.raises(
        UserError, match="'scenes' is not for atom finding; embedded for this task: lattices, nanoparticles"
    ):
        load_points("scenes")


@pytest.mark.parametrize("lattice", LATTICES)
def test_columns_lie_where_the_lattice_says(lattice: str) -> None:
    """Without disorder the distance of neighbours is that of the crystal, and many electrons show it."""
    still = dict.fromkeys(("jitter", "vacancies", "polar", "row_shift"), (0.0, 0.0))
    parameters = LatticeParameters(lattice=lattice, dose=(1e7, 1e7), strain=0.0, boundary=0.0, drift=0.0, foreign=0.0,
                                   probe=(0.7, 0.7), pixel_size=0.1, wedge=0.0, **still)  # fmt: skip
    scene = simulate_lattice(parameters, 1)
    a = LATTICES[lattice].a
    nearest = {"perovskite": a / 2**0.5, "fcc": a}.get(lattice, a / 3**0.5)
    assert nearest_neighbour_distance(scene.points) * 0.1 == pytest.approx(nearest, rel=1e-3)
    assert np.array_equal(scene.image, simulate_lattice(parameters, 1).image)
    y, x = np.rint(scene.points[((scene.points > 4) & (scene.points < 123)).all(axis=1)]).astype(int).T
    around = [scene.expected[np.clip(y + i, 0, 127), np.clip(x + j, 0, 127)] for i in (-4, 4) for j in (-4, 4)]
    assert (scene.expected[y, x] > np.max(around, axis=0)).all()


@pytest.mark.parametrize(("dose", "expected"), [(1000.0, 0.75), (300.0, 0.67)])
def test_images_are_as_difficult_as_known(dose: float, expected: float) -> None:
    """F1 of one Gaussian filter and peaks within 3 pixels, on images of so many electrons per square angstrom.

    The figures are those of an outside trial. The baseline of the task chooses its filter, and finds more.
    """
    matchings = []
    for index in range(16):
        scene = simulate_lattice(LatticeParameters(dose=(dose, dose)), (5, index))
        found = filtered_peaks(scene.image[..., None], 1, sigma=1.5, share=0.44)
        inside = lambda points: ((points >= 3) & (points <= 124)).all(axis=1)  # noqa: E731
        matchings.append(match_points(scene.points, found.places, 3.0, counted=inside))
    assert pooled(matchings).f1 == pytest.approx(expected, abs=0.03)


def test_phase_contrast_follows_the_defocus() -> None:
    """In focus a phase object cannot be seen; with opposite defocus columns are dark or bright."""
    still = {"carbon": (0.0, 0.0), "aberration": (0.0, 0.0), "dose": (1e4, 1e4), "vacancies": (0.0, 0.0)}
    levels = []
    for defocus in (-60.0, 0.0, 60.0):
        scene = simulate_hrtem(HrtemParameters(defocus=(defocus, defocus), **still), 4)
        y, x = np.rint(scene.points).astype(int).T
        levels.append(scene.expected[y, x].mean() / 400)
    assert levels[0] < 0.9 < 1.1 < levels[2]
    assert levels[1] == pytest.approx(1)
    assert nearest_neighbour_distance(scene.points) * 0.2 == pytest.approx(2.04, rel=0.05)
    with pytest.raises(ValueError, match="kilovolts must be one of 80, 200, 300"):
        HrtemParameters(kilovolts=100)


def test_walls_are_where_domains_meet() -> None:
    scene = simulate_walls(WallParameters(noise=(0.0, 0.0), depth=(0.8, 0.8), drift=0.0, line_noise=0.0), 3)
    across = scene.domains[1:] != scene.domains[:-1]
    assert (scene.mask[1:][across] | scene.mask[:-1][across]).all()
    assert 0.03 < scene.mask.mean() < 0.35
    assert scene.image[scene.mask == 1].mean() < 0.8 * scene.image[scene.mask == 0].mean()


def test_walls_are_data_of_segmentation(tmp_path: Path) -> None:
    found = load_segmentation("walls", data_dir=str(tmp_path), options={"images": 3, "size": 64})
    assert found.class_names == ("domain", "wall")
    assert np.array_equal(found.masks[1][..., 0], simulate_walls(WallParameters(size=64), (0, 1)).mask)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("atoms")
    words = ("--data", dots(out / "data", 12), "--crops-per-image", "12", "--disc-radius", "2.5")
    answer = command("train", "atom-finding", "--out", out, "--name", "run", *QUICK, *words)
    assert answer.status == 0, answer.err
    return out / "atom-finding" / "run"


def test_a_run_directory_is_complete(run: Path) -> None:
    assert {path.stem for path in (run / "figures").glob("*.png")} == {"learning_curves", "failures", "offsets"}
    metrics = json.loads((run / "metrics.json").read_text())
    assert {"f1", "precision", "recall", "rms_px"} <= set(metrics["baseline"])
    assert not [name for name in metrics["baseline"] if name.endswith("_pm")]
    assert metrics["baseline"]["f1"] > 0.9, "bright dots on a dark ground"
    report = json.loads((run / "report.json").read_text())
    assert "the pixel size is not known" in report["notes"][0]
    assert [row[0] for row in report["tables"][0]["rows"]] == ["big", "small"]
    assert 10 < json.loads((run / "spacing.json").read_text())["nearest_neighbour"] < 13


def test_predictions_are_data_again(run: Path, tmp_path: Path) -> None:
    images = dots(tmp_path / "new", 2) / "images"
    answer = command("predict", run, images, "-o", tmp_path / "out")
    assert answer.status == 0, answer.err
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        *("0.csv", "0_overlay.png", "1.csv", "1_overlay.png")
    }
    with (tmp_path / "out" / "0.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0] if rows else ("y", "x", "class", "score")) == {"y", "x", "class", "score"}
    answer = command("evaluate", run, "--data", tmp_path / "new")
    assert answer.status == 0, answer.err


def test_the_pixel_size_is_used() -> None:
    scene = simulate_lattice(LatticeParameters(), 0)
    from applications.atom_finding import Points, Prediction, csv_text

    found = Points(scene.points[:2], np.array([1, 2]), np.array([0.5, 0.25]))
    lines = csv_text(Prediction(Path("a.tif"), scene.image, found, ("ground", "A", "B"), 20.0)).splitlines()
    y, x = scene.points[0].astype(float)
    assert lines[0] == "y,x,class,score,y_pm,x_pm"
    assert lines[1] == f"{y:.3f},{x:.3f},A,0.500,{20 * y:.1f},{20 * x:.1f}"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--pixel-size", "0"), "pixel_size: expected a number of picometres above 0"),
        (("--data", "lattices", "--data-options.lattice", "cubic"), "lattice must be one of perovskite, hexagonal"),
        (("--disc-radius", "0"), "disc_radius"),
        (("--model", "centernet"), "'centernet' is a detector model"),
    ],
)
def test_bad_input(words: tuple[str, ...], sentence: str, tmp_path: Path) -> None:
    answer = command("train", "atom-finding", "--out", tmp_path, *QUICK, *words)
    assert answer.status == 2
    assert sentence in answer.err
    assert "Traceback" not in answer.err


def test_tolerance_is_half_the_distance_of_neighbours() -> None:
    class Near:
        spacing = 4.0

    assert AtomFinding().tolerance_in_pixels(Near()) == 2.0
    Near.spacing = 14.0
    assert AtomFinding().tolerance_in_pixels(Near()) == 3.0
