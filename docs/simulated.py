"""One picture of each simulator, seeded, with what is known of it drawn in, and its parameters.

`docs/generate.py` makes the page `simulated.md` of it. Neither Keras nor TensorFlow is imported.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from applications.core.figures import png, show_image
from applications.datasets.simulators import (
    beads,
    cells,
    ellipses,
    fluorescence,
    hrtem,
    inertial,
    lattices,
    particles,
    scenes,
    shapes,
    volumes,
    walls,
)

SEED = 1
MARK = "#ff9500"


class Simulated(NamedTuple):
    """A simulator on the page.

    Attributes:
        name: what `--data` calls it.
        task: the application whose own data it is, or that can take it.
        parameters: the dataclass whose docstring explains them.
        caption: what the picture shows.
        draw: makes the picture.
    """

    name: str
    task: str
    parameters: type
    caption: str
    draw: Callable[[], Figure]


def _figure(panels: int) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(2.6 * panels, 2.6), layout="constrained")
    return figure, [figure.add_subplot(1, panels, 1 + panel) for panel in range(panels)]


def _outlined(axes: Any, labels: np.ndarray) -> None:
    """Draws the outline of each object: pixels whose right or lower neighbour belongs to another one."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    colour = np.zeros((*labels.shape, 4))
    colour[edge] = matplotlib.colors.to_rgba(MARK)
    axes.imshow(colour, interpolation="nearest")


def _beside(image: np.ndarray, mark: Callable[[Any], None]) -> Figure:
    """Returns the image alone and, beside it, with what is known of it."""
    figure, (plain, marked) = _figure(2)
    show_image(plain, image)
    show_image(marked, image)
    mark(marked)
    return figure


def _nuclei() -> Figure:
    scene = fluorescence.simulate_nuclei(fluorescence.NucleiParameters(size=160, num_nuclei=25), SEED)
    return _beside(scene.image, lambda axes: _outlined(axes, scene.instances))


def _nuclei3d() -> Figure:
    scene = volumes.simulate_volume(volumes.VolumeParameters(depth=20, size=80, num_nuclei=40), SEED)
    middle = (scene.image.shape[0] // 2, scene.image.shape[1] // 2)
    figure = Figure(figsize=(7.8, 2.6), layout="constrained")
    plane, marked, section = figure.subplots(1, 3)
    for axes in (plane, marked):
        show_image(axes, scene.image[middle[0]])
    _outlined(marked, scene.instances[middle[0]])
    show_image(section, scene.image[:, middle[1]])
    section.set_aspect(volumes.VolumeParameters().plane_distance)
    for axes, title in ((plane, "a plane"), (marked, "its nuclei"), (section, "a section along the axis")):
        axes.set_title(title, fontsize=9)
    return figure


def _walls() -> Figure:
    scene = walls.simulate_walls(seed=SEED)
    return _beside(scene.image, lambda axes: _outlined(axes, scene.mask))


def _points(image: np.ndarray, points: np.ndarray) -> Figure:
    def mark(axes: Any) -> None:
        axes.scatter(points[:, 1], points[:, 0], s=14, facecolors="none", edgecolors=MARK, linewidths=0.8)

    return _beside(image, mark)


def _lattices() -> Figure:
    scene = lattices.simulate_lattice(seed=SEED)
    return _points(scene.image, scene.points)


def _nanoparticles() -> Figure:
    scene = hrtem.simulate_hrtem(hrtem.HrtemParameters(dose=(2000.0, 2000.0)), SEED)
    return _points(scene.image, scene.points)


def _scenes() -> Figure:
    from matplotlib.patches import Rectangle

    scene = scenes.simulate_scene(seed=SEED)

    def mark(axes: Any) -> None:
        for (left, top, right, bottom), kind in zip(scene.boxes, scene.classes, strict=True):
            corner = (left - 0.5, top - 0.5)
            axes.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, edgecolor=MARK))
            axes.text(left, top - 1, scenes.KINDS[kind], color=MARK, fontsize=7, va="bottom")

    return _beside(scene.image, mark)


def _ellipses() -> Figure:
    pair = ellipses.simulate_ellipses(seed=SEED)
    figure, (moving, fixed, field) = _figure(3)
    for axes, image, title in ((moving, pair.moving, "moving"), (fixed, pair.fixed, "fixed"), (field, pair.fixed, "")):
        show_image(axes, image)
        axes.set_title(title or "field", fontsize=9)
    y, x = np.mgrid[4 : pair.field.shape[0] : 6, 4 : pair.field.shape[1] : 6]
    dy, dx = np.moveaxis(pair.field[y, x], -1, 0)
    field.quiver(x, y, dx, dy, color=MARK, angles="xy", scale_units="xy", scale=1, width=0.008)
    return figure


def _film(images: np.ndarray, truth: Any) -> Figure:
    """Shows the first, the middle and the last frame, the last one with the ways that led there."""
    frames = (0, len(images) // 2, len(images) - 1)
    figure, panels = _figure(3)
    for axes, frame in zip(panels, frames, strict=True):
        show_image(axes, images[frame])
        axes.set_title(f"frame {frame}", fontsize=9)
    for _, rows in truth.each():
        panels[-1].plot(truth.x[rows], truth.y[rows], color=MARK, linewidth=0.9)
    return figure


def _particles() -> Figure:
    parameters = particles.ParticleParameters(size=128, frames=20, particles=30)
    scene = particles.simulate_particles(parameters, SEED)
    return _film(particles.film(parameters, scene, SEED), scene.truth)


def _cells() -> Figure:
    scene = cells.simulate_cells(cells.CellParameters(size=128, cells=6), SEED)
    return _film(scene.images, scene.truth)


def _beads() -> Figure:
    figure, panels = _figure(3)
    for axes, blur in zip(panels, (0.8, 1.9, 3.0), strict=True):
        show_image(axes, beads.simulate_beads(beads.BeadParameters(blur=(blur, blur)), SEED).image)
        axes.set_title(f"blur {blur} px", fontsize=9)
    return figure


def _shapes() -> Figure:
    figure, panels = _figure(3)
    for axes, number in zip(panels, (7, 260, 400), strict=True):
        scene = shapes.SCENES[number]
        show_image(axes, shapes.simulate_shapes(scene, seed=SEED))
        axes.set_title(scene.caption, fontsize=7)
    return figure


def _imu() -> Figure:
    parameters = inertial.InertialParameters()
    person = inertial.draw_person(parameters, SEED)
    figure = Figure(figsize=(7.8, 2.6), layout="constrained")
    shown = ("sit", "walk", "stairs up")
    for panel, activity in enumerate(shown):
        axes = figure.add_subplot(1, len(shown), 1 + panel)
        signal = inertial.simulate_inertial(activity, person, parameters, SEED)[: round(4 * parameters.rate)]
        time = np.arange(len(signal)) / parameters.rate
        for channel in range(3):
            axes.plot(time, signal[:, channel], linewidth=0.9, label=inertial.CHANNELS[channel])
        axes.set(title=activity, xlabel="s", ylabel="" if panel else "acceleration, g", ylim=(-2, 2))
    axes.legend(fontsize=7, loc="lower right", ncols=3)
    return figure


SIMULATED = (
    Simulated("nuclei", "semantic-segmentation and instance-segmentation", fluorescence.NucleiParameters,
              "Nuclei, and their outlines.", _nuclei),
    Simulated("nuclei3d", "instance-segmentation with `--model unet3d`", volumes.VolumeParameters,
              "A volume of nuclei.", _nuclei3d),
    Simulated("cells", "particle-tracking", cells.CellParameters,
              "A film of dividing nuclei; the last frame with the way of each.", _cells),
    Simulated("particles", "particle-tracking", particles.ParticleParameters,
              "A film of diffusing particles; the last frame with the way of each.", _particles),
    Simulated("lattices", "atom-finding", lattices.LatticeParameters,
              "A lattice in dark field, and its columns.", _lattices),
    Simulated("nanoparticles", "atom-finding", hrtem.HrtemParameters,
              "A nanoparticle by phase contrast, with 2000 electrons per square angstrom.", _nanoparticles),
    Simulated("walls", "semantic-segmentation", walls.WallParameters,
              "Domains, and the outlines of the walls between them.", _walls),
    Simulated("scenes", "object-detection", scenes.SceneParameters,
              "Objects on a cluttered ground, and a box around each.", _scenes),
    Simulated("ellipses", "image-registration", ellipses.EllipseParameters,
              "A pair, and the field: an arrow's tail in the fixed image shows what its head shows in the moving one.",
              _ellipses),
    Simulated("beads", "image-regression", beads.BeadParameters, "The same beads at three blurs.", _beads),
    Simulated("shapes", "text-to-image", shapes.ShapeParameters, "Three scenes and their captions.", _shapes),
    Simulated("imu", "activity-recognition", inertial.InertialParameters,
              "Accelerations of one person who sits, walks and climbs stairs.", _imu),
)  # fmt: skip


def picture(simulated: Simulated) -> bytes:
    """Returns the picture as the bytes of a PNG file."""
    return png(simulated.draw(), dpi=110)
