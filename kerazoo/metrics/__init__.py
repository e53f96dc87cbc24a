"""Metrics of pixels and tokens, registered under the package name `kerazoo`."""

import keras  # noqa: F401  first, so that the hook of kerazoo runs before any of the modules below

from kerazoo.metrics.boundary import BoundaryF1
from kerazoo.metrics.overlap import MeanIoU, PerClassIoU
from kerazoo.metrics.sequence import Perplexity, TokenAccuracy

__all__ = ["BoundaryF1", "MeanIoU", "PerClassIoU", "Perplexity", "TokenAccuracy"]
