"""The application `particle-tracking`: films, label images, tables of points; its files, its units, and bad input."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from applications.core.errors import UserError
from applications.datasets.films import load_films, read_film, read_points
from applications.datasets.simulators.cells import CellParameters, simulate_cells
from applications.datasets.simulators.particles import ParticleParameters, film, simulate_particles
from applications.imaging.tracking_report import Units, squared_displacements, summary
from applications.particle_tracking import ParticleTracking, heat_map
from kerazoo.metrics.tracking import link_scores
from kerazoo.tracking import find_spots, link, read_csv
from tests.applications.conftest import command, save_image

SMALL = (
    *("--no-tensorboard", "--epochs", "2", "--crop-size", "32", "--model-options.filters", "4"),
    *("--data-options.size", "48", "--data-options.films", "4", "--data-options.frames", "6"),
    *("--data-options.particles", "8"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose detector is the classic one, so that its tracks are right after so short a training."""
    folder = tmp_path_factory.mktemp("tracking")
    words = ("--detector", "log", "--pixel-size", "0.5", "--frame-interval", "0.1", "--splitting")
    answer = command("train", "particle-tracking", "--out", folder, "--name", "run", *SMALL, *words)
    assert answer.status == 0, answer.err
    return folder / "particle-tracking" / "run"


def table(path: Path, points: list[np.ndarray]) -> Path:
    rows = [f"{frame},{y:.4f},{x:.4f}" for frame, places in enumerate(points) for y, x in places]
    path.write_text("frame,y,x\n" + "\n".join(rows) + "\n")
    return path


def test_spots_are_found_to_a_fraction_of_a_pixel() -> None:
    p = ParticleParameters(size=160, particles=25, frames=2, photons=(300.0, 300.0), spot=(1.5, 1.5), renewal=0.0)
    scene = simulate_particles(p, seed=3)
    true = scene.truth.position[scene.truth.frame == 0]
    found = find_spots(film(p, scene, 1)[0], 1.5)
    distance = np.linalg.norm(found[:, None] - true, axis=-1)
    alone = np.sort(np.linalg.norm(true[:, None] - true, axis=-1), axis=1)[:, 1] > 8
    assert np.median(distance.min(axis=0)[alone]) < 0.2
    assert (distance.min(axis=0)[alone] < 1).mean() > 0.9
    assert len(find_spots(np.random.default_rng(0).normal(size=(64, 64)), 1.5)) <= 2
    assert len(find_spots(np.zeros((32, 32)), 1.5)) == 0


def test_diffusion_in_micrometres_and_seconds() -> None:
    p = ParticleParameters(size=2000, particles=800, frames=30, renewal=0.0, missed=0.0)
    facts = summary(simulate_particles(p, seed=1).truth, Units(0.5, 0.1, "µm", "s"))
    assert facts["diffusion coefficient in µm^2/s"] == pytest.approx(2 * 0.25 / 0.1, rel=0.05)
    assert facts["rms step in µm"] == pytest.approx(np.sqrt(8) * 0.5, rel=0.03)
    squares, count = squared_displacements(link([[(0, 0)], [(1, 0)], [], [(3, 0)]], 3, max_gap=1), 4)
    assert count.tolist() == [1, 1, 1, 0]
    assert squares[:3].tolist() == [1, 4, 9]


def test_heat_maps_have_a_spot_at_each_point() -> None:
    tracks = link([[(5, 7.5), (0, 30)]], 3)
    heat = heat_map(tracks, 0, (16, 32), 1.5)
    assert heat[5, 7] == heat[5, 8] == pytest.approx(np.exp(-0.25 / 4.5))
    assert heat[0, 30] == 1
    assert heat[12, 20] == 0


def test_the_report_of_a_run(run: Path) -> None:
    found = json.loads((run / "metrics.json").read_text())
    assert found["test"]["link_recall"] > 0.5
    assert set(found["test"]) == {"detection", "link_recall", "link_precision", "tracking"}
    assert set(found["baseline"]) == set(found["test"])
    page = (run / "report.html").read_text()
    assert "diffusion coefficient in µm^2/s" in page
    assert {"tracks.png", "motion.png", "film.gif"} <= {path.name for path in (run / "figures").iterdir()}


def test_points_films_and_label_images_are_followed(run: Path, tmp_path: Path) -> None:
    p = ParticleParameters(size=96, particles=6, frames=8, photons=(300.0, 300.0))
    scene = simulate_particles(p, seed=5)
    pictures = film(p, scene, 1)
    cells = simulate_cells(CellParameters(size=96, cells=5, frames=8, cycle=(5.0, 9.0)), 3)
    table(tmp_path / "points.csv", scene.points)
    tifffile.imwrite(tmp_path / "film.tif", pictures)
    for frame, picture in enumerate(pictures):
        (tmp_path / "frames").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "frames" / f"{frame}.tif", picture)
    tifffile.imwrite(tmp_path / "cells_labels.tif", cells.labels)
    names = ("points.csv", "film.tif", "frames", "cells_labels.tif")
    out = tmp_path / "out"
    bad = table(tmp_path / "bad.csv", scene.points[:1])
    answer = command("predict", run, bad, "-o", out)
    assert answer.status == 2
    assert not out.exists()
    files = (bad, *(tmp_path / name for name in names))
    answer = command("predict", run, *files, "-o", out, "--on-bad-file", "skip")
    assert "skipped: " in answer.err
    assert answer.status == 0, answer.err
    given = link_scores(scene.links, read_csv(out / "points_tracks.csv"), tolerance=0.01)
    assert given.recall > 0.95
    seen = read_csv(out / "film_tracks.csv")
    assert link_scores(scene.truth, seen, tolerance=2).recall > 0.7
    assert (out / "frames_tracks.csv").read_text() == (out / "film_tracks.csv").read_text()
    divided = read_csv(out / "cells_labels_tracks.csv")
    assert link_scores(cells.truth, divided, tolerance=0.01).recall > 0.9
    assert len(divided.parents) > 0
    assert len(list((out / "cells_labels_ctc").glob("mask*.tif"))) == 8
    assert (out / "cells_labels_ctc" / "res_track.txt").read_text().count("\n") >= len(divided.lengths())
    with Image.open(out / "film_tracks.gif") as moving:
        assert moving.n_frames == 8
    rows = dict(csv.reader((out / "points_motion.csv").read_text().splitlines()))
    assert float(rows["rms step in µm"]) == pytest.approx(np.sqrt(8) * 0.5, rel=0.25)


def test_own_films_with_tables(tmp_path: Path) -> None:
    p = ParticleParameters(size=48, particles=6, frames=4)
    for number in range(4):
        scene = simulate_particles(p, number)
        tifffile.imwrite(tmp_path / f"{number}.tif", film(p, scene, number), photometric="minisblack")
        table(tmp_path / f"{number}.csv", scene.points)
    data = load_films(str(tmp_path))
    assert not data.linked
    assert sorted(len(part) for part in data.split.values()) == [1, 1, 2]
    scene = simulate_particles(p, 0)
    assert len(data.truths[0]) == sum(map(len, scene.points))
    (tmp_path / "2.csv").unlink()
    with pytest.raises(UserError, match=r"'2.tif' has no table '2.csv' beside it"):
        load_films(str(tmp_path))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("frame,y,x\n0,1,2\n1,nan,3\n", "line 3 has 'nan' in column 'y'"),
        ("frame,y,x\n0,1,2\n1,,3\n", "line 3 has '' in column 'y'"),
        ("frame,y\n0,1\n", "needs the columns frame, y, x"),
        ("frame,y,x\n", "at least one row"),
        ("frame,y,x\n0.5,1,2\n1,2,3\n", "whole numbers"),
        ("frame,y,x\n0,1,2\n0,2,3\n", "has points in 1 frame; something can be followed over at least 2"),
    ],
)
def test_bad_tables_are_one_sentence(text: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=sentence):
        read_points(path)


def test_frames_without_points_are_empty(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("t,row,column\n0,1,2\n3,1,2\n")
    points, tracks = read_points(tmp_path / "p.csv")
    assert [len(frame) for frame in points] == [1, 0, 0, 1]
    assert tracks is None


def test_films_that_cannot_be_followed(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "one.tif", np.zeros((32, 32), np.uint8))
    with pytest.raises(UserError, match="holds 1 frame; something can be followed over at least 2"):
        read_film(tmp_path / "one.tif")
    tifffile.imwrite(tmp_path / "x_labels.tif", np.zeros((3, 32, 32), np.float32), photometric="minisblack")
    with pytest.raises(UserError, match="label images need whole numbers"):
        read_film(tmp_path / "x_labels.tif")
    options = {"imagej": True, "resolution": (2.0, 4.0), "metadata": {"axes": "TYX", "unit": "um"}}
    tifffile.imwrite(tmp_path / "flat.tif", np.zeros((3, 32, 32), np.uint8), **options)
    with pytest.raises(UserError, match="distances need square ones"):
        read_film(tmp_path / "flat.tif")
    for number, size in enumerate((32, 32, 40)):
        save_image(tmp_path / "frames" / f"{number}.png", np.zeros((size, 32), np.uint8))
    with pytest.raises(UserError, match=r"different sizes: '2.png' has 40 x 32"):
        read_film(tmp_path / "frames")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"pixel_size": 0.1}, "needs both; add the seconds"),
        ({"loss": "mean_squared_error"}, "its own loss"),
        ({"k_folds": 3}, "no folds"),
    ],
)
def test_options_that_cannot_work(options: dict, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        ParticleTracking(**options).check()
    with pytest.raises(UserError, match="at least 3 films"):
        load_films("cells", options={"films": 2})
