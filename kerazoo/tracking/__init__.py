"""Points and objects followed from frame to frame, in NumPy and SciPy alone."""

from kerazoo.tracking.files import read_csv, write_csv, write_ctc
from kerazoo.tracking.label_images import centroids, link_labels, track_labels
from kerazoo.tracking.linking import link, link_nearest
from kerazoo.tracking.spots import find_spots, peaks
from kerazoo.tracking.tracks import Tracks

__all__ = [
    "Tracks",
    "centroids",
    "find_spots",
    "link",
    "link_labels",
    "link_nearest",
    "peaks",
    "read_csv",
    "track_labels",
    "write_csv",
    "write_ctc",
]
