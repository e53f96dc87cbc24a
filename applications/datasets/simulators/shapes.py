"""Two coloured shapes on a grey ground, what a caption says of them, and what can be read out of such a picture.

A scene is a shape, its place relative to another one, and that other one: "a red circle left of a blue square". The
places, sizes and the brightness of the ground vary; what the caption says does not. `read_scene` knows nothing of how a
picture was made: it looks for connected regions of colour and compares their outlines with those of the shapes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np

COLOURS = {
    "red": (215, 40, 40),
    "green": (40, 170, 60),
    "blue": (45, 75, 220),
    "yellow": (235, 205, 40),
    "purple": (150, 50, 190),
}
SHAPES = ("circle", "square", "triangle", "cross")
RELATIONS = ("left of", "right of", "above", "below")
_OPPOSITE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}
_FINE = 4  # samples per pixel and axis


class Thing(NamedTuple):
    """One shape of a scene."""

    colour: str
    shape: str

    def __str__(self) -> str:
        return f"a {self.colour} {self.shape}"


class Scene(NamedTuple):
    """What is to be seen: `first` is, for example, left of `second`."""

    first: Thing
    relation: str
    second: Thing

    @property
    def caption(self) -> str:
        """The scene in words."""
        return f"{self.first} {self.relation} {self.second}"

    @property
    def in_order(self) -> Scene:
        """The same scene said from the left, or from above."""
        if self.relation in ("left of", "above"):
            return self
        return Scene(self.second, _OPPOSITE[self.relation], self.first)


THINGS = tuple(Thing(colour, shape) for colour in COLOURS for shape in SHAPES)
SCENES = tuple(Scene(a, relation, b) for a in THINGS for b in THINGS if a != b for relation in RELATIONS)


def scene_of(caption: str) -> Scene | None:
    """Returns the scene that a caption describes, or None where it is written in another way."""
    words = caption.lower().split()
    for relation in RELATIONS:
        between = relation.split()
        if len(words) == 6 + len(between) and words[3:-3] == between and words[0] == words[-3] == "a":
            first, second = Thing(*words[1:3]), Thing(*words[-2:])
            return Scene(first, relation, second) if {first, second} <= set(THINGS) else None
    return None


@dataclass(frozen=True)
class ShapeParameters:
    """What is drawn; each picture draws its own value from a range, uniformly.

    Attributes:
        size: height and width of a picture in pixels.
        radius: half the height of a shape, as a fraction of the size.
        shift: how far a shape may lie from its usual place, as a fraction of the size.
        ground: brightness of the ground, 0 to 255.
    """

    size: int = 24
    radius: tuple[float, float] = (0.17, 0.2)
    shift: float = 0.03
    ground: tuple[float, float] = (228.0, 240.0)

    def __post_init__(self):
        if self.size < 16 or not 0 < self.radius[0] <= self.radius[1] or self.shift < 0:
            raise ValueError("size must be at least 16, radius above 0, shift at least 0.")
        if self.radius[1] + self.shift > 0.24:
            raise ValueError("radius and shift together must be at most 0.24, or the shapes touch.")


def inside(shape: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns whether points lie inside a shape that reaches from -1 to 1 on both axes (y downwards)."""
    import numpy as np

    if shape == "circle":
        return x**2 + y**2 <= 1
    box = np.maximum(np.abs(x), np.abs(y)) <= 1
    if shape == "square":
        return box
    if shape == "triangle":
        return box & (2 * np.abs(x) <= y + 1)
    return box & (np.minimum(np.abs(x), np.abs(y)) <= 1 / 3)


def simulate_shapes(scene: Scene, parameters: ShapeParameters = ShapeParameters(), seed=0) -> np.ndarray:
    """Draws one scene.

    Args:
        scene: What is to be seen.
        parameters: What varies.
        seed: an int, or a sequence of ints such as `(seed, index)`; equal seeds give equal pictures.

    Returns:
        `(size, size, 3)` uint8.

    Example:
        >>> simulate_shapes(SCENES[0], seed=1).shape
        (24, 24, 3)
    """
    import numpy as np

    p, random = parameters, np.random.default_rng(seed)
    picture = np.full((p.size, p.size, 3), random.uniform(*p.ground))
    fine = (np.arange(p.size * _FINE) + 0.5) / (p.size * _FINE)
    y, x = np.meshgrid(fine, fine, indexing="ij")
    ordered = scene.in_order
    for thing, place in ((ordered.first, 0.26), (ordered.second, 0.74)):
        along, across = place + random.uniform(-p.shift, p.shift), 0.5 + random.uniform(-4, 4) * p.shift
        centre = (along, across) if ordered.relation == "left of" else (across, along)
        radius = random.uniform(*p.radius)
        covered = inside(thing.shape, (x - centre[0]) / radius, (y - centre[1]) / radius)
        share = covered.reshape(p.size, _FINE, p.size, _FINE).mean(axis=(1, 3))[..., None]
        picture += share * (np.array(COLOURS[thing.colour]) - picture)
    return np.rint(picture).astype(np.uint8)


def read_scene(picture: np.ndarray) -> Scene | None:
    """Reads two shapes, their colours and their places out of a picture.

    Args:
        picture: `(H, W, 3)` uint8.

    Returns:
        The scene, said from the left or from above, or None where there are not two coloured regions.
    """
    import numpy as np
    from scipy import ndimage

    pixels = picture.astype(np.float64)
    ground = np.median(pixels.reshape(-1, 3), axis=0)
    regions, count = ndimage.label(np.abs(pixels - ground).max(axis=-1) > 60)
    sizes = ndimage.sum_labels(np.ones(regions.shape), regions, np.arange(1, count + 1))
    if count < 2 or np.sort(sizes)[-2] < 0.01 * regions.size:
        return None
    found = []
    for label in np.argsort(-sizes)[:2] + 1:
        region = regions == label
        found.append((ndimage.center_of_mass(region), Thing(_colour(pixels[region]), _shape(region))))
    (y1, x1), (y2, x2) = found[0][0], found[1][0]
    beside = abs(x1 - x2) > abs(y1 - y2)
    first, second = (thing for _, thing in sorted(found, key=lambda entry: entry[0][1 if beside else 0]))
    return Scene(first, "left of" if beside else "above", second)


def _colour(pixels: np.ndarray) -> str:
    """Returns the colour that the inner pixels of a region are closest to."""
    import numpy as np

    typical = np.median(pixels, axis=0)
    return min(COLOURS, key=lambda name: float(np.square(typical - COLOURS[name]).sum()))


def _shape(region: np.ndarray) -> str:
    """Returns the shape whose outline, stretched to that of a region, overlaps it best."""
    import numpy as np

    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    cut = region[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    y, x = (2 * (np.arange(n) + 0.5) / n - 1 for n in cut.shape)

    def overlap(shape: str) -> float:
        ideal = inside(shape, x[None, :], y[:, None])
        return float((ideal & cut).sum() / (ideal | cut).sum())

    return max(SHAPES, key=overlap)


def right_attributes(wanted: Scene, picture: np.ndarray) -> dict[str, float]:
    """Returns which attributes of a scene a picture shows, each from 0 to 1.

    The thing further to the left (above, where the caption speaks of above or below) is compared with the one that
    should stand there: `colour` and `shape` are the shares of the two that are right. `relation` is 1 where they stand
    in the right direction, and their attributes fit better in this order than the other way round.

    Args:
        wanted: What the picture should show.
        picture: `(H, W, 3)` uint8.
    """
    seen, wanted = read_scene(picture), wanted.in_order
    if seen is None:
        return {"colour": 0.0, "shape": 0.0, "relation": 0.0}

    def right(first: Thing, second: Thing) -> tuple[float, float]:
        pairs = ((first, wanted.first), (second, wanted.second))
        colour = sum(a.colour == b.colour for a, b in pairs) / 2
        return colour, sum(a.shape == b.shape for a, b in pairs) / 2

    colour, shape = right(seen.first, seen.second)
    turned = sum(right(seen.second, seen.first))
    relation = float(seen.relation == wanted.relation and colour + shape > turned)
    return {"colour": colour, "shape": shape, "relation": relation}
