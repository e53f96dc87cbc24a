"""Linking against all possible links tried out, cases one can see through, files, and scores computed by hand."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from kerazoo.metrics.tracking import detection_and_tracking, detection_and_tracking_of_labels, link_scores
from kerazoo.tracking import (
    Tracks,
    centroids,
    link,
    link_labels,
    link_nearest,
    read_csv,
    track_labels,
    write_csv,
    write_ctc,
)
from kerazoo.tracking.files import discs
from kerazoo.tracking.linking import cheapest_links, possible_links


def table(*rows: tuple[int, int, int, float, float]) -> Tracks:
    """Makes tracks of rows (track, parent, frame, y, x)."""
    columns = [np.array(column) for column in zip(*rows, strict=True)]
    return Tracks(*columns, np.zeros(len(rows), int))


def cheapest_by_trying(before: np.ndarray, after: np.ndarray, reach: float) -> float:
    """The least cost of all ways to link, each of them tried."""
    squared = ((before[:, None] - after) ** 2).sum(axis=-1)
    squared[squared > reach**2] = np.inf
    best = np.inf
    for partners in itertools.product(range(-1, len(after)), repeat=len(before)):
        taken = [partner for partner in partners if partner >= 0]
        if len(taken) == len(set(taken)):
            best = min(best, sum(reach**2 if b < 0 else squared[a, b] for a, b in enumerate(partners)))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_no_other_links_are_cheaper(seed: int) -> None:
    random = np.random.default_rng(seed)
    before, after = (random.uniform(0, 12, (random.integers(0, 6), 2)) for _ in range(2))
    rows, columns, squared = possible_links(before, after, 5.0)
    chosen = cheapest_links(rows, columns, squared, 25.0)
    assert len(set(rows[chosen])) == len(set(columns[chosen])) == len(chosen)
    cost = squared[chosen].sum() + 25.0 * (len(before) - len(chosen))
    assert cost == pytest.approx(cheapest_by_trying(before, after, 5.0))


def test_nearest_pairs_first_are_not_the_cheapest() -> None:
    """One chain of points, each nearest to the next one's place: all together are cheaper than the closest alone."""
    before, after = [(0.0, 0), (3.0, 0)], [(2.0, 0), (5.0, 0)]
    assert link([before, after], 5.5).track.tolist() == [1, 1, 2, 2]
    closest = link_nearest([before, after], 4)  # 3 -> 2 first, which leaves 5 px
    assert closest.track.tolist() == [1, 2, 2, 3]
    assert link([before, after], 4).y.tolist() == [0, 2, 3, 5]


def test_a_gap_is_closed_up_to_its_length_and_its_reach() -> None:
    frames = [[(0, 0)], [(1, 0)], [], [], [(3, 0)]]
    assert len(link(frames, 3).lengths()) == len(link(frames, 3, max_gap=1).lengths()) == 2
    assert link(frames, 3, max_gap=2).frame.tolist() == [0, 1, 4]
    for distance, tracks in ((5.1, 1), (5.3, 2)):  # three frames reach 3 * sqrt(3) = 5.196
        assert len(link([[(0, 0)], [], [], [(distance, 0)]], 3, max_gap=2).lengths()) == tracks


def test_of_two_starts_the_earlier_one_closes_the_gap() -> None:
    """The squared distance grows with time, so an equal step per frame costs more over a longer gap."""
    frames = [[(0, 0)], [], [(2, 0)], [(-3, 0)]]
    tracks = link(frames, 3, max_gap=2)
    assert tracks.frame[tracks.track == 1].tolist() == [0, 2]


def test_velocity_keeps_crossing_points_apart() -> None:
    """Two points that run through each other: where they were says nothing, where they go says all."""
    ways = [np.stack([4.0 * np.arange(9), np.full(9, 1.0)], 1), np.stack([32.0 - 4 * np.arange(9), np.full(9, 0.0)], 1)]
    truth = Tracks.of([np.array([1, 2])] * 9, [np.stack([a, b]) for a, b in zip(*ways, strict=True)], {})
    points = [np.stack([a, b]) for a, b in zip(*ways, strict=True)]
    assert link_scores(truth, link(points, 5, motion="velocity")).recall == 1
    fast = [np.array([[6.0 * frame, 0], [6.0 * frame - 5, 0]]) for frame in range(8)]
    truth = Tracks.of([np.array([1, 2])] * 8, fast, {})
    assert link_scores(truth, link(fast, 7)).recall < 0.9
    start = [np.array([[0.0, 0], [40, 0]]), np.array([[6.0, 0], [46, 0]])]
    later = [np.array([[12.0, 0], [52, 0]]), np.array([[18.0, 0], [16, 0], [58, 0]])]
    assert link([*start, *later], 7).y[:4].tolist() == [0, 6, 12, 16]
    assert link([*start, *later], 7, motion="velocity").y[:4].tolist() == [0, 6, 12, 18]


def test_a_division_gives_two_daughters() -> None:
    frames = [[(10, 10)], [(10, 10)], [(8, 10), (12, 10)], [(7, 10), (13, 10)]]
    tracks = link(frames, 4, splitting=True)
    assert tracks.lengths().tolist() == [2, 2, 2]
    assert tracks.parents == {2: 1, 3: 1}
    assert link(frames, 4).parents == {}
    # What comes back beside a still point is no daughter of it: the middle lies too far from where the point was.
    back = [[(0, 0), (0, 5.5)], [(0, 5.5)], [(0, 2.5), (0, 5.5)]]
    tracks = link(back, 4, max_gap=1, splitting=True)
    assert tracks.parents == {}
    assert tracks.x[tracks.track == 1].tolist() == [0, 2.5]


def test_empty_frames_and_no_points() -> None:
    assert len(link([[], [], []], 3, max_gap=1, splitting=True)) == 0
    assert len(link_nearest([[], [(1, 1)]], 3)) == 1
    assert link([[(1, 1)], [], [(1, 1)]], 3).track.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("points", "options", "sentence"),
    [
        ([], {}, "at least one frame"),
        ([[(0.0, np.nan)]], {}, "must be finite.*point 0 of frame 0"),
        ([[(0, 1, 2)]], {}, r"row and column.*\(1, 3\)"),
        ([[(0, 1)]], {"max_distance": 0}, "max_distance must be"),
        ([[(0, 1)]], {"max_gap": -1}, "max_gap must be"),
        ([[(0, 1)]], {"motion": "fast"}, "motion must be one of 'none', 'velocity'"),
    ],
)
def test_bad_points_are_one_sentence(points: list, options: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        link(points, **{"max_distance": 3, **options})


def two_cells() -> tuple[list[np.ndarray], Tracks]:
    """Label images of a cell that stays and one that divides, with other numbers in every frame."""
    images = [np.zeros((24, 24), np.uint16) for _ in range(4)]
    for frame, image in enumerate(images):
        image[2:8, 2 + frame : 8 + frame] = 5 + frame
    images[0][14:22, 6:16] = images[1][14:22, 6:16] = 2
    for frame in (2, 3):
        images[frame][14:22, 5:10] = 30 - frame
        images[frame][14:22, 12:17] = 20
    return images, link_labels(images, 6, splitting=True)


def test_label_images_are_linked_and_numbered() -> None:
    images, tracks = two_cells()
    assert tracks.parents == {3: 2, 4: 2} or tracks.parents == {3: 1, 4: 1}
    assert sorted(tracks.lengths().tolist()) == [2, 2, 2, 4]
    numbered = track_labels(tracks, images)
    for image, new in zip(images, numbered, strict=True):
        assert np.array_equal(image > 0, new > 0)
    for number, place in zip(*centroids(numbered[3]), strict=True):
        row = np.flatnonzero((tracks.frame == 3) & (tracks.track == number))
        assert np.allclose(tracks.position[row], place)
    with pytest.raises(ValueError, match="whole numbers"):
        link_labels([image.astype(float) for image in images], 6)
    with pytest.raises(ValueError, match="one size"):
        link_labels([images[0], images[1][:-1]], 6)


def test_overlap_outweighs_distance() -> None:
    """A long object whose centroid jumps when it grows lies nearer to a stranger's centroid than to its own."""
    first, second = np.zeros((2, 12, 40), int)
    first[2:6, 0:20], second[2:6, 0:36] = 1, 1
    second[8:10, 8:12] = 2
    tracks = link_labels([first, second], 10)
    assert tracks.x[tracks.track == 1].tolist() == [9.5, 17.5]
    assert link([centroids(first)[1], centroids(second)[1]], 10).x[:2].tolist() == [9.5, 9.5]


def test_csv_and_back(tmp_path: Path) -> None:
    tracks = two_cells()[1]
    again = read_csv(write_csv(tracks, tmp_path / "tracks.csv"))
    for name, column in tracks.columns().items():
        assert np.allclose(column, getattr(again, name)), name
    (tmp_path / "other.csv").write_text("frame,y,x\n0,1,2\n")
    with pytest.raises(ValueError, match="must have the columns"):
        read_csv(tmp_path / "other.csv")


def test_the_challenge_format_has_every_track_in_every_frame_it_names(tmp_path: Path) -> None:
    """A gap becomes a new track with a parent: the challenge's own program refuses anything else."""
    points = [[(5, 5)], [(5, 6)], [], [(5, 8)], [(3, 8), (7, 8)]]
    tracks = link(points, 4, max_gap=1, splitting=True)
    assert tracks.lengths().tolist() == [3, 1, 1]
    write_ctc(tracks, tmp_path, shape=(16, 16), radius=1.5)
    lines = [list(map(int, line.split())) for line in (tmp_path / "res_track.txt").read_text().splitlines()]
    assert lines == [[1, 0, 1, 0], [2, 3, 3, 1], [3, 4, 4, 2], [4, 4, 4, 2]]
    images = [tifffile.imread(path) for path in sorted(tmp_path.glob("mask*.tif"))]
    assert {image.dtype for image in images} == {np.dtype("uint16")}
    for number, first, last, _ in lines:
        assert [number in image for image in images] == [first <= frame <= last for frame in range(5)]
    write_ctc(tracks, tmp_path, shape=(16, 16), truth=True)
    assert (tmp_path / "man_track.txt").is_file()
    assert (tmp_path / "man_track004.tif").is_file()


def test_discs_lie_around_their_points() -> None:
    image = discs(table((1, 0, 0, 4.2, 5.0), (2, 0, 0, 0.0, 11.0), (3, 0, 0, -8.0, 30.0)), (12, 12), 2.5)[0]
    rows, columns = np.mgrid[:12, :12]
    assert np.array_equal(image == 1, (rows - 4.2) ** 2 + (columns - 5) ** 2 < 2.5**2)
    assert np.array_equal(image == 2, rows**2 + (columns - 11) ** 2 < 2.5**2)
    assert image.max() == 2


TRUTH = table((1, 0, 0, 0, 0), (1, 0, 1, 0, 1), (2, 1, 2, 0, 0), (3, 1, 2, 0, 4))


@pytest.mark.parametrize(
    ("found", "nodes", "edges"),
    [
        (TRUTH, 0.0, 0.0),
        # a point is missing, and the two links at it
        (table((1, 0, 0, 0, 0), (2, 0, 2, 0, 0), (3, 0, 2, 0, 4)), 10.0, 3 * 1.5),
        # a point too many, whose link costs nothing, and a division without daughters
        (table((1, 0, 0, 0, 0), (1, 0, 1, 0, 1), (2, 0, 2, 0, 0), (3, 0, 2, 0, 4), (3, 0, 3, 9, 9)), 1.0, 2 * 1.5),
        # one daughter goes on as the mother: a link of the wrong kind, and one that is missing
        (table((1, 0, 0, 0, 0), (1, 0, 1, 0, 1), (1, 0, 2, 0, 0), (3, 0, 2, 0, 4)), 0.0, 1.0 + 1.5),
        # a link between strangers
        (table((1, 0, 0, 0, 0), (1, 0, 2, 0, 4), (2, 0, 1, 0, 1), (3, 2, 2, 0, 0)), 0.0, 1.0 + 2 * 1.5),
    ],
)
def test_det_and_tra_by_hand(found: Tracks, nodes: float, edges: float) -> None:
    """Four true points and three links: 40 for nothing at all in DET, 44.5 in TRA."""
    det, tra = detection_and_tracking(TRUTH, found, tolerance=0.5)
    assert det == pytest.approx(1 - nodes / 40)
    assert tra == pytest.approx(1 - (nodes + edges) / 44.5)


def test_det_and_tra_of_label_images() -> None:
    images, tracks = two_cells()
    numbered = track_labels(tracks, images)
    assert detection_and_tracking_of_labels(tracks, numbered, tracks, numbered) == (1.0, 1.0)
    joined = [ndimage.label(ndimage.binary_dilation(image > 0, iterations=2))[0] for image in images]
    found = link_labels(joined, 6)
    det, tra = detection_and_tracking_of_labels(tracks, numbered, found, track_labels(found, joined))
    # ten objects and eight links; in two frames one object stands for both daughters: two splits, four links lost
    assert (len(tracks), len(tracks.links()[0])) == (10, 8)
    assert det == pytest.approx(1 - 2 * 5 / 100)
    assert tra == pytest.approx(1 - (2 * 5 + 4 * 1.5) / (100 + 8 * 1.5))
    assert detection_and_tracking(tracks, link([[], [(0, 0)]], 3), tolerance=1) == (0.0, 0.0)


def test_shares_of_right_links() -> None:
    found = table((1, 0, 0, 0, 0), (1, 0, 1, 0, 1), (1, 0, 2, 0, 0), (3, 0, 2, 0, 4), (3, 0, 3, 0, 4))
    scores = link_scores(TRUTH, found)
    assert (scores.true, scores.found, scores.correct) == (3, 3, 2)
    assert scores.recall == scores.precision == pytest.approx(2 / 3)
    gap = table((1, 0, 0, 0, 0), (1, 0, 2, 0, 0))
    assert link_scores(gap, gap).recall == 1
    assert link_scores(gap, gap, consecutive=True).true == 0
