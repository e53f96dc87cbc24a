"""Virtual people and the user's recordings: parameters, windows, and nobody in two parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from applications.core.errors import UserError
from applications.datasets.activities import load_activities
from applications.datasets.simulators.inertial import (
    ACTIVITIES,
    InertialParameters,
    draw_person,
    simulate_inertial,
)

FEW = {"subjects": 6, "seconds": 6.0}


def recordings(path: Path, people: int = 6, rows: int = 40, **changes: dict[int, str]) -> Path:
    """A table of people who rest and shake, at 20 samples per second.

    Args:
        path: Where to write.
        people: How many there are.
        rows: Samples of each of them in each class.
        **changes: column -> row -> cell to write instead.
    """
    random = np.random.default_rng(0)
    lines, number = ["subject,time,label,x,y,z"], 0
    for person in range(people):
        for label, strength in (("rest", 0.1), ("shake", 1.0)):
            for _ in range(rows):
                values = strength * random.normal(size=3)
                cells = {"subject": f"P{person}", "time": f"{number / 20:.2f}", "label": label}
                cells |= {name: f"{value:.4f}" for name, value in zip("xyz", values, strict=True)}
                cells |= {column: changed[number] for column, changed in changes.items() if number in changed}
                lines.append(",".join(cells.values()))
                number += 1
    path.write_text("\n".join(lines) + "\n")
    return path


def load(path: Path, **options):
    return load_activities(str(path), **{"window": 16, **options})


@pytest.mark.parametrize("activity", ACTIVITIES)
def test_simulated_people_obey_their_parameters(activity):
    p = InertialParameters(mounting=0.0, heading=0.0, gain=(1.0, 1.0), gait=0.0, cadence=(1.8, 1.8), seconds=40.0)
    person = draw_person(p, 3)
    signal = simulate_inertial(activity, person, p, 5)
    assert signal.shape == (2000, 6)
    assert signal.dtype == np.float32
    np.testing.assert_array_equal(signal, simulate_inertial(activity, draw_person(p, 3), p, 5))
    assert not np.array_equal(signal, simulate_inertial(activity, person, p, 6))
    gravity = signal[:, :3].mean(axis=0)
    assert np.linalg.norm(gravity) == pytest.approx(1, abs=0.03)
    pitch = np.rad2deg(np.arctan2(gravity[0], gravity[2]))
    low, high = {"sit": (15, 52), "lie": (68, 102)}.get(activity, (-22, 12))
    assert low < pitch < high
    noise = np.diff(signal[:, 1]).std() / np.sqrt(2)
    if activity in ("sit", "stand", "lie"):
        assert noise == pytest.approx(0.02, rel=0.1)
    else:
        spectrum = np.abs(np.fft.rfft(signal[:, 2] - signal[:, 2].mean()))
        strongest = np.fft.rfftfreq(2000, 1 / 50)[spectrum.argmax()]
        quicker = {"walk": 1.0, "stairs up": 0.92, "stairs down": 1.04}[activity]
        assert strongest == pytest.approx(1.8 * quicker, rel=0.08)


def test_stairs_change_the_vertical_harmonics():
    p = InertialParameters(mounting=0.0, heading=0.0, gait=0.0, noise=0.0, seconds=40.0)
    person, shares = draw_person(p, 1), {}
    for activity in ("stairs up", "walk", "stairs down"):
        spectrum = np.square(np.abs(np.fft.rfft(simulate_inertial(activity, person, p, 2)[:, 2])))
        frequency = np.fft.rfftfreq(2000, 1 / 50)
        first = frequency[1 + spectrum[1:].argmax()]
        near = [spectrum[np.abs(frequency - k * first) < 0.4].sum() for k in (1, 2)]
        shares[activity] = near[1] / near[0]
    assert shares["stairs up"] < 0.6 * shares["walk"]
    assert shares["walk"] < 0.6 * shares["stairs down"]


def test_people_are_different_but_the_embedded_data_are_the_same_every_time(tmp_path):
    one, two = (load_activities("imu", options=FEW, data_dir=str(tmp_path)) for _ in range(2))
    assert one.fingerprint == two.fingerprint
    assert one.windows.shape == (6 * 6 * 3, 128, 6)
    assert (one.class_names, one.rate) == (ACTIVITIES, 50.0)
    other = load_activities("imu", options={**FEW, "seed": 1}, data_dir=str(tmp_path))
    assert other.fingerprint != one.fingerprint


@pytest.mark.parametrize("seed", range(3))
def test_nobody_is_in_two_parts(seed, tmp_path):
    for data in (
        load_activities("imu", options=FEW, data_dir=str(tmp_path), seed=seed),
        load(recordings(tmp_path / "a.csv"), seed=seed),
    ):
        people = [set(data.subjects[data.split[part]].tolist()) for part in ("train", "val", "test")]
        assert all(people)
        assert sum(map(len, people)) == len(set.union(*people)) == 6


def test_windows_do_not_cross_people_labels_or_breaks(tmp_path):
    data = load(recordings(tmp_path / "a.csv"), overlap=0.5)
    assert data.windows.shape == (6 * 2 * 4, 16, 3)
    assert data.channels == ("x", "y", "z")
    assert data.rate == pytest.approx(20, rel=1e-3)
    spread = data.windows.std(axis=(1, 2))
    assert ((spread > 0.4) == (data.labels == 1)).all()
    # Five seconds are missing in the middle of a stretch: no window reaches across them.
    late = {row: f"{row / 20 + 5:.2f}" for row in range(20, 12 * 40)}
    broken = load(recordings(tmp_path / "b.csv", time=late), overlap=0.5)
    starts = broken.starts[broken.starts < 42] - 2
    assert starts.tolist() == [0, 20]
    assert any("rows fill no window" in warning for warning in broken.warnings)


def test_without_subjects_stretches_stay_whole(tmp_path):
    path = recordings(tmp_path / "a.csv")
    path.write_text("\n".join(line.split(",", 1)[1] for line in path.read_text().splitlines()))
    data = load(path)
    assert data.subjects is None
    assert "the same people only" in data.warnings[-1]
    parts = [set(data.groups[data.split[part]].tolist()) for part in ("train", "val", "test")]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 12


def test_windows_of_a_file_are_taken_as_they_are(tmp_path):
    path = recordings(tmp_path / "a.csv")
    head, *lines = path.read_text().splitlines()
    path.write_text("\n".join([f"window,{head}", *(f"{row // 10},{line}" for row, line in enumerate(lines))]))
    assert load(path).windows.shape == (48, 10, 3)
    path.write_text("\n".join([f"window,{head}", *(f"{(row + 3) // 10},{line}" for row, line in enumerate(lines))]))
    with pytest.raises(UserError, match="line 9: window '1' has 10 rows, the first one has 7"):
        load(path)


BAD = {
    "missing value": ({"y": {9: ""}}, {}, "line 11: the value in column 'y' is missing"),
    "text": ({"y": {9: "up"}}, {}, "line 11: the value in column 'y' 'up' is no number"),
    "missing label": ({"label": {9: ""}}, {}, "line 11: the label in column 'label' is missing"),
    "no label": ({}, {"label": "activty"}, "label: 'a.csv' has no column 'activty'"),
    "no channel": ({}, {"channels": ("x", "q")}, "channels: 'a.csv' has no column 'q'"),
    "long window": ({}, {"window": 99}, "the longest stretch without a break has 40 samples, too few for a window of"),
    "one class": ({"label": dict.fromkeys(range(480), "rest")}, {}, "has one class only"),
    "few people": ({"subject": dict.fromkeys(range(480), "P")}, {}, "1 subjects cannot be divided"),
}


@pytest.mark.parametrize(("changes", "options", "sentence"), BAD.values(), ids=BAD)
def test_bad_recordings_are_one_sentence(changes, options, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence) as caught:
        load(recordings(tmp_path / "a.csv", **changes), **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"subjcts": 5}, "Did you mean 'subjects'"),
        ({"subjects": 2}, "at least 3 subjects"),
        ({"rate": "fast"}, "'rate' of data set 'imu' must be a float"),
        ({"rate": 5}, "rate must be at least 6.24 times"),
        ({"gain": 0}, "above 0"),
    ],
)
def test_bad_options_of_the_simulator_are_one_sentence(options, sentence, tmp_path):
    with pytest.raises(UserError, match=sentence):
        load_activities("imu", options=options, data_dir=str(tmp_path))
