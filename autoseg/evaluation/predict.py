"""Logits at the size of the image, from one pass or averaged over scales and mirror images."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_MAX_DENOMINATOR = 10_000


def predict_logits(
    network: nn.Module,
    images: Tensor,
    *,
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
) -> Tensor:
    """Run a network once, or average its class probabilities over several views of the images.

    With `scales=(1.0,)` and no flip the network's own logits are returned untouched. Otherwise the
    images are resized bilinearly by each scale (averaging where they shrink, as in training), each
    view's logits are resized bilinearly to the images' size, and the probabilities (softmax over
    the classes) are averaged with equal weights. Both resizings have align_corners=False.

    Args:
        network: In eval mode; maps (N, 3, h, w) to logits (N, K, h, w) for any h and w.
        images: Normalised images, float, (N, 3, H, W), on the network's device.
        scales: Factors on both sides of the images; a view has round(scale * side) pixels a side.
        flip: Whether every view is also seen mirrored left to right, and mirrored back.

    Returns:
        (N, K, H, W), dtype of the network's logits: its logits, or the logarithm of the mean
        probability, so that softmax of the result is that mean in either case.

    Raises:
        ValueError: If a scale, the images' shape or the network's output size does not fit.
        RuntimeError: If the network is in training mode.

    Source: Chen et al. 2017 (DeepLab v3, arXiv 1706.05587), section 4, for scoring with several
    scales and mirrored images.
    """
    _check_request(network, images, scales)
    size = images.shape[2:]
    if tuple(scales) == (1.0,) and not flip:
        return network_logits(network, images)
    # The mean is taken over logarithms (log-sum-exp): a probability too small for float32 would
    # become 0, and its logarithm minus infinity.
    total = None
    num_views = 0
    for view, is_mirrored in _views(images, scales, flip=flip):
        logits = network_logits(network, view)
        logits = _resize(logits.flip(-1) if is_mirrored else logits, size, antialias=False)
        log_probability = logits.log_softmax(dim=1)
        total = log_probability if total is None else torch.logaddexp(total, log_probability)
        num_views += 1
    assert total is not None
    return total - math.log(num_views)


def scale_images(images: Tensor, scale: float) -> Tensor:
    """Return what a network sees of normalised images (N, C, H, W) at a factor on their sides."""
    size = [_scaled(side, scale) for side in images.shape[2:]]
    return _resize(images, size, antialias=True)


def best_class(scores: Tensor) -> Tensor:
    """Return the class with the highest score at each pixel, of equal ones the first.

    Args:
        scores: Logits or probabilities, (N, K, H, W).

    Returns:
        int64, (N, H, W): `scores.argmax(dim=1)`, for which torch takes nine times as long on a CPU.
    """
    return scores.max(dim=1).indices


def _views(images: Tensor, scales: Sequence[float], *, flip: bool) -> Iterator[tuple[Tensor, bool]]:
    """Yield each view of the images and whether it is mirrored."""
    for scale in scales:
        view = scale_images(images, scale)
        yield view, False
        if flip:
            yield view.flip(-1), True


def _scaled(side: int, scale: float) -> int:
    """Return round(scale * side), halves to even; in an exported graph by whole numbers alone."""
    if not torch.compiler.is_exporting():
        return round(scale * _number(side))
    factor = Fraction(scale).limit_denominator(_MAX_DENOMINATOR)
    doubled, unit = 2 * factor.numerator * side + factor.denominator, 2 * factor.denominator
    half_up = doubled // unit
    is_half = 1 - cast(int, torch.sym_min(1, doubled % unit))
    return half_up - is_half * (half_up % 2)


def _resize(maps: Tensor, size: Sequence[int], *, antialias: bool) -> Tensor:
    """Resize (N, C, H, W) bilinearly; return it unchanged if it has that size."""
    if maps.shape[2:] == torch.Size(size):
        return maps
    return F.interpolate(
        maps, size=list(size), mode="bilinear", align_corners=False, antialias=antialias
    )


def network_logits(network: nn.Module, images: Tensor) -> Tensor:
    """Run a network and check that it keeps the contract of every network: logits, full size.

    Args:
        network: In eval mode.
        images: Normalised images, float, (N, C, h, w).

    Returns:
        Its logits, (N, K, h, w).

    Raises:
        ValueError: If it gives anything else.
    """
    logits = network(images)
    if not isinstance(logits, Tensor):
        raise ValueError(
            f"predict_logits: {type(network).__name__} returned {type(logits).__name__} in eval "
            "mode; expected one tensor of logits (N, K, H, W)."
        )
    expected = (images.shape[0], *images.shape[2:])
    if logits.ndim != 4 or (logits.shape[0], *logits.shape[2:]) != expected:
        raise ValueError(
            f"predict_logits: {type(network).__name__} maps images {tuple(images.shape)} to logits "
            f"{tuple(logits.shape)}; expected (N, K, H, W) at the images' own size, "
            "so resize the logits inside the network."
        )
    return logits


def require_eval_mode(network: nn.Module, caller: str) -> None:
    """Refuse a network whose scores depend on the batch and on chance.

    Raises:
        RuntimeError: In the name of the caller, if the network is in training mode.
    """
    if network.training:
        raise RuntimeError(
            f"{caller}: {type(network).__name__} is in training mode, where batch norm and "
            "dropout change the scores; call network.eval() first."
        )


def _number(side: int | Tensor) -> int:
    """Return a side as a number: in a trace, as fvcore makes one, it is a tensor; in an exported
    graph it has to stay the symbol that it is."""
    return int(side) if isinstance(side, Tensor) else side


def _check_request(network: nn.Module, images: Tensor, scales: Sequence[float]) -> None:
    require_eval_mode(network, "predict_logits")
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            f"predict_logits: images are {images.dtype} {tuple(images.shape)}; expected normalised "
            "float images (N, 3, H, W), see autoseg.data.normalise."
        )
    if not scales:
        raise ValueError("predict_logits: scales is empty; (1.0,) is the image as it is.")
    for scale in scales:
        # `not >` also refuses nan
        if (
            not scale > 0
            or math.isinf(scale)
            or min(round(scale * _number(s)) for s in images.shape[2:]) < 1
        ):
            raise ValueError(
                f"predict_logits: scale {scale} leaves no pixel of images "
                f"{tuple(images.shape[2:])}; expected a positive number such as 0.5 or 1.25."
            )
