"""Scores that say nothing: of a network that shows one class, or knows no more than a colour."""

from collections.abc import Sequence

from autoseg.metrics.confusion import ConfusionMatrix

_NEARLY_ALL = 0.999
"""Share of the predicted pixels from which on one class is called all of them."""

_REMEDY = (
    "train longer, with another learning rate, or balance the classes (--class-weights "
    "median_frequency, --class-uniform 0.5)"
)


def best_constant(confusion: ConfusionMatrix) -> tuple[int, float]:
    """Find the class that, predicted for every pixel, would score best on the same truth.

    Returns:
        The class, and the mean IoU: its share of the pixels, divided by the number of classes that
        occur in the truth.

    Raises:
        RuntimeError: If no pixel has been counted.
    """
    if confusion.num_pixels == 0:
        raise RuntimeError("best_constant: no pixel has been counted; call update first.")
    truth = confusion.counts.sum(dim=1)
    largest = int(truth.argmax())
    share = float(truth[largest]) / confusion.num_pixels
    return largest, share / int((truth > 0).sum())


def doubt_about(
    confusion: ConfusionMatrix, class_names: Sequence[str], *, colour_miou: float | None = None
) -> str | None:
    """Say in words why a score is no achievement; None if it is one, or nothing was counted.

    Args:
        confusion: What the network predicted.
        class_names: One name a class.
        colour_miou: Mean IoU on the same images of a table that knows each pixel's colour alone;
            None where it was not measured.
    """
    if confusion.num_pixels == 0 or int((confusion.counts.sum(dim=1) > 0).sum()) < 2:
        return None
    predicted = confusion.counts.sum(dim=0)
    largest = int(predicted.argmax())
    share = float(predicted[largest]) / confusion.num_pixels
    if share >= _NEARLY_ALL:
        much = "every pixel" if share == 1 else f"{share:.2%} of the pixels"
        return f"it predicts {class_names[largest]} for {much}: it has collapsed; {_REMEDY}"
    miou = confusion.mean_iou()
    constant, constant_miou = best_constant(confusion)
    if miou <= constant_miou:
        return (
            f"its mIoU {miou:.4f} is no better than predicting {class_names[constant]} everywhere, "
            f"which has {constant_miou:.4f}; {_REMEDY}"
        )
    if colour_miou is not None and miou <= colour_miou:
        return (
            f"its mIoU {miou:.4f} is no better than a table of each pixel's colour, which has "
            f"{colour_miou:.4f}; {_REMEDY}"
        )
    return None
