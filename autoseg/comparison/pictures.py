"""The pictures of a report: predictions of images, and where they are wrong."""

import io
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from autoseg.comparison.evidence import TrueScene
from autoseg.comparison.grading import image_miou
from autoseg.comparison.receptive_fields import ReceptiveField
from autoseg.comparison.rows import ComparisonGroup, NetworkComparison
from autoseg.comparison.verdict import row_name
from autoseg.reporting.page import Grid, Pair, Picture, Scene
from autoseg.reporting.receptive_fields import draw_receptive_fields
from autoseg.reporting.samples import ignored_colour

_MAX_WIDTH = 640  # pixels of a picture
_MAX_GRID_WIDTH = 320  # pixels of a picture in a grid of many
_MAX_PALETTE = 256  # colours of a PNG with one byte a pixel
_RIGHT, _WRONG, _UNLABELLED = (225, 225, 225), (213, 94, 0), (96, 96, 96)
ERRORS = (
    "Below each prediction: right pixels light, wrong ones orange, those without a label dark grey."
)
"""How the maps of errors are to be read."""


def true_scenes_of(group: ComparisonGroup) -> tuple[TrueScene, ...]:
    return next((network.scenes for network in group.networks if network.scenes), ())


def classes_of(group: ComparisonGroup) -> tuple[tuple[str, str], ...]:
    """Name the colours of the pictures: those of the classes, and of pixels without one."""
    palette = next((scene.palette for n in group.networks for scene in n.scenes), None)
    if palette is None:
        return ()
    colours = [*palette, ignored_colour(palette)]
    names = [*group.networks[0].class_names, "no label"]
    return tuple(
        (name, "#" + bytes(np.asarray(colour, np.uint8)).hex())
        for name, colour in zip(names, colours, strict=True)
    )


def grids_of(group: ComparisonGroup) -> tuple[Grid, ...]:
    """Show the best, the median and the worst image, each with every network's errors."""
    truth = next((n.graded_scenes for n in group.networks if n.graded_scenes), ())
    networks = [n for n in group.networks if _named(n.graded_scenes) == _named(truth)]
    return tuple(_grid(scene, number, networks) for number, scene in enumerate(truth))


def draw_fields(group: ComparisonGroup) -> Figure | None:
    """Draw the receptive field of each network; None where nobody asked for it."""
    names: dict[ReceptiveField, list[str]] = {}
    for network in group.networks:
        if network.receptive_field is not None:
            names.setdefault(network.receptive_field, []).append(network.rows[0].label)
    # Forms of a network share its field: the shortest of their names has no form in it.
    panels = [field.panel(min(labels, key=len)) for field, labels in names.items()]
    return draw_receptive_fields(panels) if panels else None


def _named(scenes: Sequence[TrueScene]) -> list[tuple[str, str]]:
    return [(scene.name, scene.remark) for scene in scenes]


def _grid(scene: TrueScene, number: int, networks: Sequence[NetworkComparison]) -> Grid:
    step = -(-scene.image.shape[1] // _MAX_GRID_WIDTH)
    target = scene.target[::step, ::step]
    image = Picture(label="image", content=_jpeg(scene.image[::step, ::step]), kind="jpeg")
    label = Picture(label="truth", content=_label_png(target, scene), kind="png")
    pairs = [Pair(caption="image, truth", upper=image, lower=label)]
    for network in networks:
        for row, evidence in zip(network.rows, network.evidence, strict=True):
            graded = evidence.graded[number]
            pred, name = graded.classes[::step, ::step], row_name(row)
            upper = Picture(label=name, content=_label_png(pred, scene), kind="png")
            errors = _error_png(pred, target, scene.ignore_index)
            lower = Picture(label=f"errors of {name}", content=errors, kind="png")
            caption = f"{name}: mIoU {100 * image_miou(graded.overlaps):.1f} %"
            pairs.append(Pair(caption=caption, upper=upper, lower=lower))
    return Grid(name=scene.name, remark=scene.remark, pairs=tuple(pairs))


def _error_png(pred: NDArray[np.integer], target: NDArray[np.integer], ignore_index: int) -> bytes:
    wrong = np.where(target == ignore_index, 2, pred != target)
    picture = Image.fromarray(wrong.astype(np.uint8), mode="P")
    picture.putpalette([*_RIGHT, *_WRONG, *_UNLABELLED])
    return _encoded(picture, "PNG")


def scenes_of(group: ComparisonGroup) -> tuple[Scene, ...]:
    """Show every network's prediction of the images that all of them predicted."""
    scenes = []
    for number, scene in enumerate(true_scenes_of(group)):
        step = -(-scene.image.shape[1] // _MAX_WIDTH)
        labelled = [("truth", scene.target)]
        for network in group.networks:
            if [each.name for each in network.scenes] == [s.name for s in true_scenes_of(group)]:
                labelled += [
                    (row_name(row), evidence.shown[number])
                    for row, evidence in zip(network.rows, network.evidence, strict=True)
                ]
        pictures = [Picture(label="image", content=_jpeg(scene.image[::step, ::step]), kind="jpeg")]
        pictures += [
            Picture(label=label, content=_label_png(classes[::step, ::step], scene), kind="png")
            for label, classes in labelled
        ]
        scenes.append(Scene(name=scene.name, pictures=tuple(pictures)))
    return tuple(scenes)


def _jpeg(image: NDArray[np.uint8]) -> bytes:
    return _encoded(Image.fromarray(image), "JPEG")


def _label_png(classes: NDArray[np.integer], scene: TrueScene) -> bytes:
    """Colour classes; a byte a pixel where the colours allow it, which is a third of the size."""
    num_classes = len(scene.palette)
    places = np.where(classes == scene.ignore_index, num_classes, classes)
    colours = np.vstack([scene.palette, [ignored_colour(scene.palette)]]).astype(np.uint8)
    if len(colours) > _MAX_PALETTE:
        return _encoded(Image.fromarray(colours[places]), "PNG")
    picture = Image.fromarray(places.astype(np.uint8), mode="P")
    picture.putpalette(colours.tobytes())
    return _encoded(picture, "PNG")


def _encoded(picture: Image.Image, kind: Literal["JPEG", "PNG"]) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, quality=85, optimize=True)  # a PNG has no quality
    return buffer.getvalue()
