"""Score a network on the images of a split."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.data import Sample, SegmentationDataset, as_rgb, normalise
from autoseg.distributed import from_all, own_indices, sum_over_processes
from autoseg.evaluation.predict import best_class, predict_logits
from autoseg.metrics import ConfusionMatrix, doubt_about
from autoseg.upload import to_device


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
    batch_pixels: int = 0,
    on_image: Callable[[int, int], None] | None = None,
    on_prediction: Callable[..., None] | None = None,
    on_confidence: Callable[..., None] | None = None,
) -> Evaluation:
    """Predict every image at its own size, and count its pixels.

    Where several processes do one job, each predicts its share of the images, and all get the
    counts of all.

    The network is put into eval mode and given back as it was, module by module. No gradient is
    kept, and nothing is random: the same network and images give the same counts. Between images
    nothing waits for the device.

    Args:
        network: Maps normalised images (N, C, H, W) to logits (N, K, H, W); on `device`.
        dataset: Images and labels; sets K and the ignored label.
        device: Where the network lies and the images are sent.
        indices: Which samples are scored, in this order; None is all of them.
        crf: Maps logits (N, K, H, W) and RGB images uint8 (N, 3, H, W), both at the label's size
            and on `device`, to marginals (N, K, H, W).
        scales: Factors at which every image is seen, averaged as `predict_logits` says.
        flip: Whether every image is seen mirrored as well.
        batch_pixels: Pixels, as the network sees them at the largest scale, up to which images that
            follow each other with one size are predicted together; 0 predicts one at a time.
        on_image: Called after each image with the number done and the number in all.
        on_prediction: Called for each image with its index, its label (H, W), and the predicted
            classes (H, W): the network's own and, if there is a CRF, those after it.
        on_confidence: Called for each image with its label (H, W) and, for each prediction, a pair
            of the classes and their probabilities, both (H, W).

    Returns:
        One confusion matrix over all pixels, without the CRF and, if there is one, with it.

    Raises:
        ValueError: If there is nothing to score, or image, label, logits and number of classes do
            not fit; the message names the image.
        NonFiniteLogitsError: If the logits hold nan; the message names the image.
    """
    device = torch.device(device)
    chosen = range(len(dataset)) if indices is None else indices
    if len(chosen) == 0:
        raise ValueError(
            f"evaluate: no image to score: the {dataset.split} split of {dataset.name} has "
            f"{len(dataset)} images, and {'all' if indices is None else 'none'} of them was asked."
        )
    counts = [ConfusionMatrix(dataset.num_classes, dataset.ignore_index)]
    if crf is not None:
        counts.append(ConfusionMatrix(dataset.num_classes, dataset.ignore_index))
    num_chosen, chosen = len(chosen), own_indices(chosen)
    has_nan: list[Tensor] = []
    names: list[str] = []
    with _eval_mode(network), torch.inference_mode():
        for batch in _batches(dataset, chosen, scales, batch_pixels=batch_pixels):
            samples = [sample for _, sample in batch]
            images = to_device(torch.stack([sample.image for sample in samples]), device)
            target = torch.stack([sample.target for sample in samples])
            logits = predict_logits(
                network, normalise(images, dataset.normalisation), scales=scales, flip=flip
            )
            _check_logits(logits, samples, num_classes=dataset.num_classes)
            # A nan would silently be the best class.
            has_nan.append(logits.isnan().flatten(1).any(dim=1))
            names += [sample.name for sample in samples]
            counts[0].check_target(target)
            target = to_device(target, device)
            preds = [best_class(logits)]
            sure = [] if on_confidence is None else [_probability(logits)]
            if crf is not None:
                # Inference stops at numbers that are not finite with a message of its own.
                _refuse_nan(_names_with_nan(has_nan[-1:], names[-len(batch) :]))
                marginals = crf(logits, as_rgb(images))
                preds.append(best_class(marginals))
                if on_confidence is not None:
                    sure.append(marginals.max(dim=1).values)
            for matrix, pred in zip(counts, preds, strict=True):
                matrix.update_unchecked(pred, target)
            for place, (index, _) in enumerate(batch):
                if on_prediction is not None:
                    on_prediction(index, target[place], *(pred[place] for pred in preds))
                if on_confidence is not None:
                    pairs = [(p[place], s[place]) for p, s in zip(preds, sure, strict=True)]
                    on_confidence(target[place], *pairs)
                if on_image is not None:
                    on_image(len(names) - len(batch) + place + 1, len(chosen))
    # From all: one process that raised alone would leave the others waiting.
    _refuse_nan([name for found in from_all(_names_with_nan(has_nan, names)) for name in found])
    for matrix in counts:
        matrix.counts = sum_over_processes(matrix.counts.cpu())
    with_crf = counts[1] if crf is not None else None
    return Evaluation(plain=counts[0], with_crf=with_crf, num_images=num_chosen)


def _probability(logits: Tensor) -> Tensor:
    """Return the largest of the probabilities at each pixel; (N, K, H, W) -> (N, H, W)."""
    return (logits.max(dim=1).values - logits.logsumexp(dim=1)).exp()


def _batches(
    dataset: SegmentationDataset,
    indices: Sequence[int],
    scales: Sequence[float],
    *,
    batch_pixels: int,
) -> Iterator[list[tuple[int, Sample]]]:
    """Read samples, and give those together that follow each other with one size and type."""
    waiting: list[tuple[int, Sample]] = []
    for index in indices:
        sample = dataset[index]
        if waiting:
            last = waiting[-1][1]
            num_pixels = sample.image[0].numel() * max(scales) ** 2 * (len(waiting) + 1)
            fits = num_pixels <= batch_pixels and last.target.dtype == sample.target.dtype
            sizes = (sample.image.shape, sample.target.shape)
            if not fits or sizes != (last.image.shape, last.target.shape):
                yield waiting
                waiting = []
        waiting.append((index, sample))
    if waiting:
        yield waiting


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


def _check_logits(logits: Tensor, samples: Sequence[Sample], *, num_classes: int) -> None:
    """Raise ValueError unless the logits can be scored against the samples' labels."""
    name, size = samples[0].name, tuple(samples[0].target.shape)
    if logits.shape[2:] != size:
        raise ValueError(
            f"evaluate: image {name!r}: logits are {tuple(logits.shape[2:])} and the label "
            f"is {size}; image and label must have one size."
        )
    if logits.shape[1] != num_classes:
        raise ValueError(
            f"evaluate: image {name!r}: the network gives {logits.shape[1]} classes and the "
            f"dataset has {num_classes}; build the network with num_classes={num_classes}."
        )


def _names_with_nan(has_nan: Sequence[Tensor], names: Sequence[str]) -> list[str]:
    flags = torch.cat(list(has_nan)).tolist() if has_nan else []
    return [name for name, is_nan in zip(names, flags, strict=True) if is_nan]


def _refuse_nan(names: Sequence[str]) -> None:
    """Raise NonFiniteLogitsError with the first of the images, if there is one."""
    for name in names:
        raise NonFiniteLogitsError(
            f"evaluate: image {name!r}: the logits hold nan; the weights are likely not "
            "finite, so take a checkpoint from before the loss diverged."
        )
