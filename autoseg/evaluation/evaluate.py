"""Score a network on the images of a split."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.data import Sample, SegmentationDataset, as_rgb, normalise
from autoseg.evaluation.predict import predict_logits
from autoseg.metrics import ConfusionMatrix, doubt_about


class NonFiniteLogitsError(ValueError):
    """A network gave NaN, of which no class can be chosen."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """What one pass over a split counted."""

    plain: ConfusionMatrix
    """Counts of the network's own prediction, the argmax of its logits."""

    with_crf: ConfusionMatrix | None
    """Counts of the same logits after the CRF; None if there was no CRF."""

    num_images: int
    """Images that were scored."""

    def doubt(self, class_names: Sequence[str], *, colour_miou: float | None = None) -> str | None:
        """Say why the score of the plain prediction is no achievement; see `doubt_about`."""
        return doubt_about(self.plain, class_names, colour_miou=colour_miou)


def evaluate(
    network: nn.Module,
    dataset: SegmentationDataset,
    *,
    device: torch.device | str,
    indices: Sequence[int] | None = None,
    crf: Callable[[Tensor, Tensor], Tensor] | None = None,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    on_image: Callable[[int, int], None] | None = None,
    on_prediction: Callable[..., None] | None = None,
) -> Evaluation:
    """Predict every image, one at a time at its own size, and count its pixels.

    The network is put into eval mode and given back as it was, module by module. No gradient is
    kept, and nothing is random: the same network and images give the same counts.

    Args:
        network: Maps normalised images (1, C, H, W) to logits (1, K, H, W); on `device`.
        dataset: Images and labels; sets K and the ignored label.
        device: Where the network lies and the images are sent.
        indices: Which samples are scored, in this order; None is all of them.
        crf: Maps logits (1, K, H, W) and RGB images uint8 (1, 3, H, W), both at the label's size
            and on `device`, to marginals (1, K, H, W).
        scales: Factors at which every image is seen, averaged as `predict_logits` says.
        flip: Whether every image is seen mirrored as well.
        on_image: Called after each image with the number done and the number in all.
        on_prediction: Called for each image with its index, its label (H, W), and the predicted
            classes (H, W): the network's own and, if there is a CRF, those after it.

    Returns:
        One confusion matrix over all pixels, without the CRF and, if there is one, with it.

    Raises:
        ValueError: If there is nothing to score, or image, label, logits and number of classes do
            not fit; the message names the image.
        NonFiniteLogitsError: If the logits hold nan; the message names the image.
    """
    chosen = range(len(dataset)) if indices is None else indices
    if len(chosen) == 0:
        raise ValueError(
            f"evaluate: no image to score: the {dataset.split} split of {dataset.name} has "
            f"{len(dataset)} images, and {'all' if indices is None else 'none'} of them was asked."
        )
    plain = ConfusionMatrix(dataset.num_classes, dataset.ignore_index)
    with_crf = None if crf is None else ConfusionMatrix(dataset.num_classes, dataset.ignore_index)
    with _eval_mode(network), torch.inference_mode():
        for num_done, index in enumerate(chosen, start=1):
            sample = dataset[index]
            images = sample.image.to(device).unsqueeze(0)
            target = sample.target.to(device).unsqueeze(0)
            logits = predict_logits(
                network, normalise(images, dataset.normalisation), scales=scales, flip=flip
            )
            _check_logits(logits, sample, num_classes=dataset.num_classes)
            preds = [logits.argmax(dim=1)]
            plain.update(preds[0], target)
            if crf is not None and with_crf is not None:
                preds.append(crf(logits, as_rgb(images)).argmax(dim=1))
                with_crf.update(preds[1], target)
            if on_prediction is not None:
                on_prediction(index, target[0], *(pred[0] for pred in preds))
            if on_image is not None:
                on_image(num_done, len(chosen))
    return Evaluation(plain=plain, with_crf=with_crf, num_images=len(chosen))


@contextmanager
def _eval_mode(network: nn.Module) -> Iterator[None]:
    """Switch every module to eval mode, and back to its own mode at the end."""
    # Module by module: network.train() would also wake batch norms that were frozen on purpose.
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        yield
    finally:
        for module, was_training in modes:
            module.training = was_training


def _check_logits(logits: Tensor, sample: Sample, *, num_classes: int) -> None:
    """Raise ValueError unless the logits can be scored against the sample's label."""
    if logits.shape[2:] != sample.target.shape:
        raise ValueError(
            f"evaluate: image {sample.name!r}: logits are {tuple(logits.shape[2:])} and the label "
            f"is {tuple(sample.target.shape)}; image and label must have one size."
        )
    if logits.shape[1] != num_classes:
        raise ValueError(
            f"evaluate: image {sample.name!r}: the network gives {logits.shape[1]} classes and the "
            f"dataset has {num_classes}; build the network with num_classes={num_classes}."
        )
    # argmax would silently call a nan the best class.
    if logits.isnan().any():
        raise NonFiniteLogitsError(
            f"evaluate: image {sample.name!r}: the logits hold nan; the weights are likely not "
            "finite, so take a checkpoint from before the loss diverged."
        )
