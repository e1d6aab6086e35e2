"""Segment a person's own images with a retrained network."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from autoseg.cli import resolve_device
from autoseg.data import normalise
from autoseg.errors import UsageError
from autoseg.evaluation import colour_mask, overlay, predict_logits
from autoseg.foreign_text import printable
from autoseg.jobs.console import announce
from autoseg.jobs.crf import CRFChoice
from autoseg.jobs.networks import labels_of, load_network, run_folder
from autoseg.runs import Progress, load_record

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Files that count as images in a folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PredictRequest(CRFChoice):
    """What a user can say to `python -m autoseg.predict`."""

    run: Path
    """Run folder of a retrained network."""
    images: tuple[Path, ...]
    """Images, or folders of images."""
    out: Path = Path("predictions")
    """Folder for the results."""
    weights: Literal["best", "last"] = "best"
    """Weights of the best validation, or the last ones."""
    overlay: bool = False
    """Also write each mask over its image."""
    opacity: float = 0.6
    """Share of the mask in the overlay, 0 to 1."""
    crf: bool = False
    """Refine the prediction by the dense CRF, with the parameters given here, else those that
    `python -m autoseg.tune` chose for the run, else DeepLab's."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""


def find_images(paths: Sequence[Path]) -> list[Path]:
    """List image files: the files named, and those in the folders named, sorted.

    Raises:
        UsageError: If a path does not exist, a folder holds no image, or two images share a name
            and would overwrite each other's result.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
            if not inside:
                raise UsageError(f"{path} holds no image ({', '.join(SUFFIXES)}).")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"{path} does not exist.")
    by_stem: dict[str, Path] = {}
    for path in found:
        if path.stem in by_stem:
            raise UsageError(
                f"{by_stem[path.stem]} and {path} share a name and would overwrite each other's "
                "result; predict them with different --out."
            )
        by_stem[path.stem] = path
    return found


def run_predict(request: PredictRequest) -> list[Path]:
    """Write for each image its classes (an indexed PNG in the dataset's colours), and overlays.

    Pixel values of NAME.png are the class numbers; its palette shows them in colour. classes.txt
    names them.

    Returns:
        The files written.
    """
    device = resolve_device(request.device)
    paths = find_images(request.images)
    folder = run_folder(request.run)
    config = load_record(folder)["config"]
    class_names, palette = labels_of(folder)
    network = load_network(folder, which=request.weights).to(device)
    crf = None
    if request.crf:
        chosen = request.choose_crf_of_run(folder, weights=request.weights)
        for line in (*chosen.notes, f"CRF: {chosen.text}"):
            announce(line)
        crf = chosen.parameters.build().to(device)
    request.out.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{number} {printable(name)} {' '.join(map(str, colour))}"
        for number, (name, colour) in enumerate(zip(class_names, palette.tolist(), strict=True))
    ]
    (request.out / "classes.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    written = [request.out / "classes.txt"]
    with Progress(len(paths), description="predict", unit="image") as progress:
        for path in paths:
            pixels = read_image(path)
            images = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None].to(device)
            with torch.inference_mode():
                scores = predict_logits(network, normalise(images), scales=(config["image_scale"],))
                if crf is not None:
                    scores = crf(scores, images)
            pred = scores.argmax(dim=1)[0].to("cpu", torch.uint8).numpy()
            mask = Image.fromarray(pred)
            mask.putpalette(palette.tobytes())
            mask.save(request.out / f"{path.stem}.png")
            written.append(request.out / f"{path.stem}.png")
            if request.overlay:
                blended = overlay(pixels, colour_mask(pred, palette), request.opacity)
                Image.fromarray(blended).save(request.out / f"{path.stem}_overlay.png")
                written.append(request.out / f"{path.stem}_overlay.png")
            progress.update()
    return written


def read_image(path: Path) -> np.ndarray:
    """Read an image as RGB, uint8, (H, W, 3).

    Raises:
        UsageError: If the file is no image or is damaged; the message names it.
    """
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except UnidentifiedImageError:
        raise UsageError(f"{path} is not an image that can be read.") from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}.") from error
