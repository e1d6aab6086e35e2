"""What every loss agrees on: its precision, which pixels count, and how much.

A batch is that of all processes (torchrun): a mean is over the pixels of all of them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.distributed import sum_over_processes


def in_full_precision(logits: Tensor) -> Tensor:
    """Convert logits to float32; float64 stays as it is.

    Sums over a million pixels, and probabilities near 1, are beyond what bf16 and fp16 hold.
    """
    return logits if logits.dtype == torch.float64 else logits.float()


def pixel_weights(
    logits: Tensor, target: Tensor, *, ignore_index: int, class_weights: Tensor | None
) -> Tensor:
    """Give each pixel the weight of its true class.

    Args:
        logits: (N, K, H, W); decides dtype, device and K.
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.
        class_weights: (K,), none negative; None weighs all classes alike.

    Returns:
        (N, H, W), the dtype of the logits; 0 where the pixel is ignored, 1 elsewhere without
        `class_weights`.

    Raises:
        ValueError: If there is not one weight for each class.
    """
    is_labelled = target != ignore_index
    if class_weights is None:
        return is_labelled.to(logits.dtype)
    num_classes = logits.shape[1]
    if class_weights.shape != (num_classes,):
        raise ValueError(
            f"class_weights has shape {tuple(class_weights.shape)}, but the logits have "
            f"{num_classes} classes: give one weight for each, shape ({num_classes},)."
        )
    weights = class_weights.to(logits)[target.masked_fill(~is_labelled, 0)]
    return weights * is_labelled


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Divide the weighted sum by the sum of the weights, as torch's own weighted mean does.

    A factor common to all weights therefore changes nothing, and a weighted loss has the size of a
    plain one: both can be trained with one learning rate. SegNet's Caffe layer divides by the
    number of labelled pixels instead, so that the weights also scale its learning rate.

    Args:
        losses: Loss of each pixel, (N, H, W).
        weights: Weight of each pixel, (N, H, W), none negative.

    Returns:
        A scalar; 0, with zero gradients, where no pixel has a weight.
    """
    # The smallest normal number: it only replaces a sum of 0, under a sum that is 0 as well.
    smallest = torch.finfo(losses.dtype).tiny
    total, weight = (losses * weights).sum(), weights.sum()
    return sum_over_processes(total) / sum_over_processes(weight).clamp(min=smallest)


def labelled_probabilities(
    logits: Tensor, target: Tensor, *, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Line up the pixels that are not ignored, those of all images in one row.

    Args:
        logits: (N, K, H, W).
        target: int64, (N, H, W).
        ignore_index: Label of pixels that do not count.

    Returns:
        Softmax probabilities, float32 or float64, (K, P), and the true classes, int64, (P,), of the
        P labelled pixels.
    """
    is_labelled = target.flatten() != ignore_index
    probabilities = F.softmax(in_full_precision(logits), dim=1)
    by_class = probabilities.transpose(0, 1).flatten(1)  # (N, K, H, W) -> (K, N*H*W)
    return by_class[:, is_labelled], target.flatten()[is_labelled]
