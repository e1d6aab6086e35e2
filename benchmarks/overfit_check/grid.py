"""The best that logits on a coarse grid can do, whatever network computes them."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F

from autoseg.data import SegmentationDataset
from autoseg.metrics import ConfusionMatrix

_NUM_STEPS = 300
_LEARNING_RATE = 0.5


def grid_miou(
    dataset: SegmentationDataset, indices: Sequence[int], *, stride: int, image_scale: int
) -> float:
    """Fit free logits on a grid to the labels, and score them.

    The logits are enlarged to the enlarged image and reduced to the label as a network's are, and
    are fitted with Adam on the same cross-entropy: what they miss, the grid cannot hold.

    Args:
        dataset: Images of one size.
        indices: The images.
        stride: Pixels of the enlarged image for each cell of the grid.
        image_scale: Factor on the images' sides.

    Returns:
        Mean IoU, at the label's size.
    """
    target = torch.stack([dataset[index].target for index in indices])
    height, width = target.shape[1:]
    enlarged = [height * image_scale, width * image_scale]
    cells = [-(-side // stride) for side in enlarged]
    # (N, H, W) -> (N, H * scale, W * scale)
    wanted = target.repeat_interleave(image_scale, 1).repeat_interleave(image_scale, 2)
    logits = torch.zeros(len(target), dataset.num_classes, *cells, requires_grad=True)
    optimizer = torch.optim.Adam([logits], lr=_LEARNING_RATE)
    full = logits
    for step in range(_NUM_STEPS):
        optimizer.param_groups[0]["lr"] = _LEARNING_RATE * (1 - step / _NUM_STEPS)
        full = F.interpolate(logits, size=enlarged, mode="bilinear", align_corners=False)
        loss = F.cross_entropy(full, wanted, ignore_index=dataset.ignore_index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    shown = F.interpolate(full, size=[height, width], mode="bilinear", align_corners=False)
    confusion = ConfusionMatrix(dataset.num_classes, dataset.ignore_index)
    confusion.update(shown.argmax(dim=1), target)
    return confusion.mean_iou()
