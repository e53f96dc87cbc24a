"""Scenes of objects for detectors: discs, rings, squares, triangles, crosses and bars on a cluttered ground.

The ground is 1/f noise with a gradient of light, as in photographs and micrographs; objects have a texture, any
orientation, are brighter or darker than the ground, and cover each other in part. A box is drawn around what can be
seen of an object. Stands for bacteria, diatoms, particles, or parts on a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from applications.datasets.simulators.fluorescence import Range

if TYPE_CHECKING:
    import numpy as np

KINDS = ("disc", "ring", "square", "triangle", "cross", "bar")
_FINE = 3  # samples per pixel and axis
_LARGEST_TRIES = 30


@dataclass(frozen=True)
class SceneParameters:
    """What is drawn; each image (each object its size and contrast) draws its own value from a range, uniformly.

    Attributes:
        size: height and width of the image in pixels.
        objects: least and most objects in an image.
        extent: size of an object in pixels, logarithmically uniform.
        contrast: brightness of an object above (or below) the ground; the pixels reach from 0 to 1.
        darker: share of objects darker than the ground.
        occlusion: largest share of an object that others may cover, or that may lie in front of another one.
        clutter: spread of the 1/f ground.
        gradient: largest difference of the light from one side to the other.
        noise: spread of the camera's noise.
        texture: spread of an object's texture.
    """

    size: int = 128
    objects: tuple[int, int] = (1, 8)
    extent: Range = (10.0, 60.0)
    contrast: Range = (0.2, 0.45)
    darker: float = 0.3
    occlusion: float = 0.3
    clutter: Range = (0.02, 0.06)
    gradient: float = 0.2
    noise: Range = (0.02, 0.1)
    texture: float = 0.03

    def __post_init__(self):
        if self.size < 32 or not 0 <= self.objects[0] <= self.objects[1]:
            raise ValueError("size must be at least 32, and objects a range from 0.")
        if not 4 <= self.extent[0] <= self.extent[1] <= self.size / 2:
            raise ValueError(f"extent must be a range from 4 to half the size, received {self.extent}.")
        if not 0 <= self.occlusion < 1 or not 0 <= self.darker <= 1:
            raise ValueError("occlusion and darker must be shares from 0 to 1.")
        if min(*self.contrast, *self.clutter, self.gradient, *self.noise, self.texture) < 0:
            raise ValueError("contrast, clutter, gradient, noise and texture must be at least 0.")


@dataclass(frozen=True, eq=False)
class DetectionScene:
    """One simulated image.

    Attributes:
        image: `(H, W)` uint8.
        boxes: `(N, 4)` float32 left, top, right, bottom of what can be seen of each object.
        classes: `(N,)` int64, numbers in `KINDS`.
        visible: `(H, W)` uint16, 0 the ground, and the number of the object from 1 on.
    """

    image: np.ndarray
    boxes: np.ndarray
    classes: np.ndarray
    visible: np.ndarray


def simulate_scene(parameters: SceneParameters = SceneParameters(), seed=0) -> DetectionScene:
    """Draws one scene.

    Args:
        parameters: what varies.
        seed: an int, or a sequence of ints such as `(seed, index)`; equal seeds give equal scenes.

    Example:
        >>> scene = simulate_scene(seed=1)
        >>> scene.image.shape, len(scene.boxes) == len(scene.classes)
        ((128, 128), True)
    """
    import numpy as np

    p, random = parameters, np.random.default_rng(seed)
    places, classes = _place_objects(p, random)
    visible = np.zeros((p.size, p.size), np.uint16)
    for number, covered in enumerate(places, start=1):
        visible[covered >= 0.5] = number
    image = 0.5 + random.uniform(*p.clutter) * one_over_f((p.size, p.size), random)
    angle, slope = random.uniform(0, 2 * np.pi), random.uniform(0, p.gradient)
    y, x = np.mgrid[: p.size, : p.size] / p.size - 0.5
    image += slope * (np.cos(angle) * x + np.sin(angle) * y)
    for covered in places:
        sign = -1 if random.random() < p.darker else 1
        texture = p.texture * one_over_f((p.size, p.size), random, power=0.7)
        level = 0.5 + sign * random.uniform(*p.contrast) + texture
        image += covered * (level - image)
    image += random.normal(0, random.uniform(*p.noise), image.shape)
    return DetectionScene(
        image=np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8),
        boxes=np.array([_box(visible == number) for number in range(1, len(places) + 1)], np.float32).reshape(-1, 4),
        classes=np.array(classes, np.int64),
        visible=visible,
    )


def one_over_f(shape: tuple[int, int], random: np.random.Generator, power: float = 1.0) -> np.ndarray:
    """Returns noise of mean 0 and spread 1 whose amplitude falls with the frequency to a power."""
    import numpy as np

    frequency = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(random.normal(size=shape)) / frequency**power, s=shape)
    return (noise - noise.mean()) / noise.std()


def _place_objects(p: SceneParameters, random: np.random.Generator) -> tuple[list[np.ndarray], list[int]]:
    """Draws how much of each pixel every object covers, the lowest first; none hides too much of those below it."""
    import numpy as np

    places: list[np.ndarray] = []
    classes: list[int] = []
    shown: list[np.ndarray] = []
    for _ in range(int(random.integers(p.objects[0], p.objects[1] + 1))):
        for _ in range(_LARGEST_TRIES):
            number = int(random.integers(len(KINDS)))
            radius = np.exp(random.uniform(*np.log(p.extent))) / 2
            centre = random.uniform(1 + radius, p.size - 1 - radius, 2)
            covered = _coverage(KINDS[number], p.size, centre, radius, random.uniform(0, 2 * np.pi))
            mask = covered >= 0.5
            left = [below & ~mask for below in shown]
            hidden = any(
                rest.sum() < (1 - p.occlusion) * (place >= 0.5).sum() for rest, place in zip(left, places, strict=True)
            )
            # In front of another object of like brightness it could not be seen.
            in_front = any((below & mask).sum() > p.occlusion * mask.sum() for below in shown)
            if mask.any() and not hidden and not in_front:
                places, classes, shown = [*places, covered], [*classes, number], [*left, mask]
                break
    return places, classes


def _coverage(kind: str, size: int, centre: np.ndarray, radius: float, angle: float) -> np.ndarray:
    """Returns which share of each pixel an object covers that lies within a circle."""
    import numpy as np

    covered = np.zeros((size, size))
    first = np.maximum(np.floor(centre - radius).astype(int), 0)
    last = np.minimum(np.ceil(centre + radius).astype(int), size)
    y, x = (
        (first[axis] + (np.arange((last[axis] - first[axis]) * _FINE) + 0.5) / _FINE - centre[axis]) / radius
        for axis in range(2)
    )
    along = np.cos(angle) * x[None] + np.sin(angle) * y[:, None]
    across = np.cos(angle) * y[:, None] - np.sin(angle) * x[None]
    inside = _inside(kind, along, across)
    height, width = last - first
    share = inside.reshape(height, _FINE, width, _FINE).mean(axis=(1, 3))
    covered[first[0] : last[0], first[1] : last[1]] = share
    return covered


def _inside(kind: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Returns whether points lie in an object of the unit circle."""
    import numpy as np

    distance = x**2 + y**2
    if kind == "disc":
        return distance <= 1
    if kind == "ring":
        return (distance <= 1) & (distance >= 0.55**2)
    if kind == "square":
        return np.maximum(abs(x), abs(y)) <= 0.7
    if kind == "triangle":
        return (y <= 0.5) & (np.sqrt(3) * abs(x) - y <= 1)
    if kind == "cross":
        return (np.maximum(abs(x), abs(y)) <= 0.95) & (np.minimum(abs(x), abs(y)) <= 0.28)
    return (abs(x) <= 0.95) & (abs(y) <= 0.3)


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Returns left, top, right and bottom of the pixels of a mask."""
    import numpy as np

    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
