"""Picture what the CRF does to a network's output: `python benchmarks/crf_effect.py --help`.

Labels alone are drawn, no photograph: the picture may be shown where a dataset's licence does not
allow copies of its images.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from autoseg.cli import OK, read_request, resolve_device, run_command
from autoseg.config.crf import PartialCRFConfig
from autoseg.data import SegmentationDataset, normalise, spread_indices
from autoseg.errors import UsageError
from autoseg.evaluation.predict import predict_logits
from autoseg.reporting.crf_effect import Refined, draw_effect
from autoseg.reporting.figure import save_figure
from autoseg.trained import RetrainedNetwork
from autoseg.tuning import choose_crf_behind

PROG = "python benchmarks/crf_effect.py"


@dataclass(frozen=True, kw_only=True, slots=True)
class EffectRequest(PartialCRFConfig):
    """What a user can say to `python benchmarks/crf_effect.py`."""

    run: Path
    """Run folder of a retrained network."""
    split: Literal["train", "val"] = "val"
    """Split that the images are of."""
    num_images: int = 4
    """Images that are drawn, evenly spread over the split."""
    data_root: Path | None = None
    """Folder of the dataset; none: as in the training."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    out: Path = Path("results/crf/effect")
    """Folder for effect.png and effect.svg."""

    def __post_init__(self) -> None:
        if self.num_images < 1:
            raise UsageError(f"--num-images is {self.num_images}; it must be at least 1.")


def refine_images(
    trained: RetrainedNetwork, dataset: SegmentationDataset, request: EffectRequest
) -> tuple[list[Refined], str]:
    """Predict images with and without the CRF.

    Args:
        trained: The network.
        dataset: The split that the images are of.
        request: What the user said.

    Returns:
        The images, and the CRF's parameters with their source.
    """
    device = resolve_device(request.device)
    network = trained.network().to(device)
    chosen = choose_crf_behind(trained, request, weights="best")
    for note in chosen.notes:
        print(note, file=sys.stderr)
    crf = chosen.parameters.build().to(device)
    refined = []
    with torch.inference_mode():
        for index in spread_indices(len(dataset), min(request.num_images, len(dataset))):
            sample = dataset[index]
            images = sample.image.to(device)[None]
            logits = predict_logits(network, normalise(images), scales=(trained.image_scale,))
            before, after = (
                values.argmax(dim=1)[0].cpu().numpy() for values in (logits, crf(logits, images))
            )
            refined.append(
                Refined(
                    name=sample.name,
                    before=before,
                    after=after,
                    target=sample.target.numpy(),
                )
            )
    return refined, chosen.text


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    request = read_request(
        EffectRequest,
        argv,
        prog=PROG,
        positional=("run",),
        description=(
            "Draw a network's labels before and after the CRF, and which of the changed pixels "
            "the CRF mends or breaks. Without parameters the CRF takes those of the run's "
            "tuning record."
        ),
        example=f"{PROG} runs/RETRAIN/searched\n{PROG} RUN --split train --num-images 8",
    )
    trained = RetrainedNetwork.open(request.run)
    dataset = trained.dataset(request.split, data_root=request.data_root)
    refined, text = refine_images(trained, dataset, request)
    figure = draw_effect(
        refined,
        palette=dataset.palette,
        class_names=dataset.class_names,
        ignore_index=dataset.ignore_index,
        title=f"{trained.folder.name} on {dataset.name}, {request.split} split. CRF: {text}",
    )
    written = save_figure(figure, request.out / "effect")
    print("written: " + " ".join(str(path) for path in written))
    return OK


if __name__ == "__main__":
    run_command(main)
