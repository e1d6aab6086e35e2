"""What rows of a comparison share that may stand in one table."""

from typing import NamedTuple


class GroupKey(NamedTuple):
    """What rows must agree on to stand in one table."""

    dataset: str
    split: str
    num_classes: int
    image_size: tuple[int, int]
    """Height and width of images and labels, in pixels."""
    input_size: tuple[int, int]
    """Height and width of what the network sees, which may be resized."""
    batch_size: int = 1
    """Images a call, of latency and memory."""
    timed_size: tuple[int, int] | None = None
    """Height and width of the images that costs are measured on; None: those that are scored."""

    def __str__(self) -> str:
        """Describe the group in a heading."""
        text = (
            f"{self.dataset} {self.split}, {self.num_classes} classes, "
            f"images {size_text(self.image_size)}"
        )
        if self.input_size != self.image_size:
            text += f", network input {size_text(self.input_size)}"
        if self.timed_size is not None:
            text += f", costs at {size_text(self.timed_size)}"
        if self.batch_size > 1:
            text += f", times and memory of {self.batch_size} images a call"
        return text


def size_text(size: tuple[int, int]) -> str:
    """Write height and width: (96, 128) becomes "96 x 128"."""
    return f"{size[0]} x {size[1]}"
