"""The best, the median and the worst image of a comparison, by a rule that favours no network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from autoseg.comparison.evidence import EvidenceOf, TrueScene, true_scenes
from autoseg.comparison.subject import Subject
from autoseg.crf import DenseCRF
from autoseg.evaluation import evaluate
from autoseg.export import FormError

RULE = (
    "Best, median and worst: by the mIoU of the image alone, over the classes that occur in it or "
    "in the prediction, averaged over all trainings without their CRF."
)
"""How the images are chosen, for the reader."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Graded:
    """A network whose images were scored, and what was collected of them."""

    subject: Subject
    """The network, on the device."""
    crf: DenseCRF | None
    """The CRF, on the device; None if there is none."""
    evidence: tuple[EvidenceOf, ...]
    """What the network predicted and, if there is a CRF, what both did; gets the chosen images."""


def image_miou(overlaps: NDArray[np.int64]) -> float:
    """Score one image by its `overlaps`, (2, K); nan if no pixel is counted."""
    hit, union = overlaps
    occurs = union > 0
    return float((hit[occurs] / union[occurs]).mean()) if occurs.any() else float("nan")


def grades(networks: Sequence[NDArray[np.int64]]) -> dict[str, tuple[int, float]]:
    """Find the best, the median and the worst image.

    Args:
        networks: For each network the `overlaps` of each image, (num_images, 2, K).

    Returns:
        By grade the image's place and its mIoU averaged over the networks; of equal ones the
        earlier. Of fewer than three images with a label some grades are missing.
    """
    scores = np.mean([[image_miou(image) for image in images] for images in networks], axis=0)
    ranked = [int(i) for i in np.argsort(-scores, kind="stable") if not np.isnan(scores[i])]
    if not ranked:
        return {}
    chosen = {"best": ranked[0], "median": ranked[(len(ranked) - 1) // 2], "worst": ranked[-1]}
    first = {place: grade for grade, place in reversed(chosen.items())}
    return {grade: (i, float(scores[i])) for grade, i in chosen.items() if first[i] == grade}


def grade(
    networks: Sequence[Graded], *, device: torch.device, on_image: Callable[[], None]
) -> list[tuple[TrueScene, ...] | FormError]:
    """Choose images among those that several networks share, and keep what each predicts of them.

    Args:
        networks: Networks that were scored; those that saw the same images choose together.
        device: Where they lie.
        on_image: Called after each prediction.

    Returns:
        For each network the images, with the grade as their remark; for one that fails over them in
        its form, that error. Those that fail have no part in the choice.
    """
    lasting = dict(enumerate(networks))
    failures: dict[int, FormError] = {}
    while True:
        together: dict[tuple, list[Graded]] = {}
        for network in lasting.values():
            together.setdefault(_images_of(network.subject), []).append(network)
        scenes = {key: _scenes(members) for key, members in together.items()}
        for number, network in lasting.items():
            samples, _ = scenes[_images_of(network.subject)]
            try:
                _predict(network, samples, device=device, on_image=on_image)
            except FormError as error:
                failures[number] = error
        if lasting.keys().isdisjoint(failures):
            break
        lasting = {i: network for i, network in lasting.items() if i not in failures}
    return [
        failures[i] if i in failures else scenes[_images_of(network.subject)][1]
        for i, network in enumerate(networks)
    ]


def _images_of(subject: Subject) -> tuple:
    dataset = subject.dataset
    return dataset.name, dataset.split, dataset.class_names, subject.image_size, subject.indices


def _scenes(networks: Sequence[Graded]) -> tuple[list[int], tuple[TrueScene, ...]]:
    """Return the samples that were chosen, and what they show."""
    subject = networks[0].subject
    found = grades([network.evidence[0].image_overlaps() for network in networks])
    samples = [subject.indices[place] for place, _ in found.values()]
    remarks = [
        f"{grade} of {len(subject.indices)} images, mIoU {100 * score:.1f} %"
        + (f" on average over {len(networks)} trainings" if len(networks) > 1 else "")
        for grade, (_, score) in found.items()
    ]
    scenes = true_scenes(subject.dataset, samples)
    return samples, tuple(
        replace(scene, remark=remark) for scene, remark in zip(scenes, remarks, strict=True)
    )


def _predict(
    network: Graded, samples: Sequence[int], *, device: torch.device, on_image: Callable[[], None]
) -> None:
    """Predict the chosen samples as they were predicted when all were scored."""

    def keep(_: int, target: Tensor, *preds: Tensor) -> None:
        for collected, pred in zip(network.evidence, preds, strict=True):
            collected.add_graded(pred, target)

    for collected in network.evidence:
        collected.forget_graded()
    if samples:
        evaluate(
            network.subject.network,
            network.subject.dataset,
            device=device,
            indices=samples,
            crf=network.crf,
            scales=(network.subject.image_scale,),
            on_image=lambda *_: on_image(),
            on_prediction=keep,
        )
