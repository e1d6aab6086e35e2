"""Windows against one piece: the same classes wherever a network's view fits in the overlap."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoseg.data.channels import ImageRegions
from autoseg.errors import UsageError
from autoseg.evaluation import Windows, best_class, predict_in_windows, predict_logits, windows
from autoseg.normalisation import IMAGENET, normalise


class Local(nn.Module):
    """Sees 16 pixels around each, and the means of squares of 32 that lie as the image does."""

    def __init__(self, num_classes, dilation=14):
        super().__init__()
        self.near = nn.Conv2d(3, num_classes, 3, padding=1, padding_mode="replicate")
        self.far = nn.Conv2d(
            num_classes, num_classes, 3, padding=dilation, dilation=dilation, groups=num_classes
        )
        generator = torch.Generator().manual_seed(3)
        for parameter in self.parameters():
            nn.init.normal_(parameter, generator=generator)

    def forward(self, images):
        height, width = images.shape[2:]
        padded = F.pad(images, (0, -width % 32, 0, -height % 32))
        squares = F.avg_pool2d(padded, 32).repeat_interleave(32, 2).repeat_interleave(32, 3)
        features = self.far(self.near(images).relu())
        return features + squares[:, :1, :height, :width]


def noise(size):
    pixels = np.random.default_rng(1).integers(256, size=(3, *size), dtype=np.uint8)
    return ImageRegions(size, 3, lambda rows, columns: pixels[:, rows, columns].copy())


def in_windows(network, image, *, scale, num_classes, size=128, overlap=64):
    return predict_in_windows(
        network,
        image,
        windows=Windows(size=size, overlap=overlap),
        scale=scale,
        normalisation=IMAGENET,
        num_classes=num_classes,
        device="cpu",
    )


def in_one_piece(network, image, scale):
    images = normalise(torch.from_numpy(image.whole())[None])
    with torch.inference_mode():
        return best_class(predict_logits(network, images, scales=(scale,)))[0].numpy()


@pytest.mark.parametrize(
    ("size", "scale", "num_classes"),
    [((301, 470), 1.0, 5), ((97, 200), 1.0, 300), ((450, 611), 0.4, 5), ((130, 95), 1.7, 5)],
)
def test_windows_give_the_classes_of_one_piece(size, scale, num_classes, monkeypatch):
    monkeypatch.setattr(windows, "_BLOCK_VALUES", 20_000)  # blocks smaller than a window
    network, image = Local(num_classes).eval(), noise(size)
    pred = in_windows(network, image, scale=scale, num_classes=num_classes)
    expected = in_one_piece(network, image, scale)
    assert pred.dtype == (np.uint8 if num_classes <= 256 else np.uint16)
    # Where a resizing rounds otherwise, two scores of 1e5 pixels may change their order.
    assert (pred != expected).sum() <= (0 if scale == 1 else 3)
    assert len(np.unique(expected)) > 3


def test_a_network_that_sees_farther_than_the_overlap_shows_the_borders():
    network, image = Local(5, dilation=40).eval(), noise((301, 470))
    pred = in_windows(network, image, scale=1, num_classes=5)
    is_other = pred != in_one_piece(network, image, 1)
    assert is_other.mean() > 0.01
    assert not is_other[:60, :60].any()  # far from the borders of the first window


@pytest.mark.parametrize(("size", "overlap"), [(64, 32), (128, 64), (1024, 256), (96, 64)])
def test_every_pixel_is_kept_once_and_far_from_borders(size, overlap):
    for length in (1, 31, size - 1, size, size + 1, size + 33, 3 * size, 5 * size + 17):
        spans = Windows(size=size, overlap=overlap).along(length)
        kept = [pixel for each in spans for pixel in range(each.kept_start, each.kept_stop)]
        assert kept == list(range(length))
        for span in spans:
            assert span.start % 32 == 0
            assert span.stop - span.start <= size
            assert span.start == 0 or span.kept_start - span.start >= overlap // 2
            assert span.stop == length or span.stop - span.kept_stop >= overlap // 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"size": 100}, r"--window 100 must be a multiple of 32.*; use 96 or 128\."),
        ({"overlap": 5}, r"--overlap 5 must be a multiple of 32.*; use 32 or 64\."),
        ({"size": 128, "overlap": 128}, r"--overlap 128 must be smaller than --window 128"),
    ],
)
def test_windows_that_cannot_be_are_refused(values, message):
    with pytest.raises(UsageError, match=message):
        Windows(**values)


def test_a_quarter_of_the_window_is_shared_unless_told_otherwise():
    sizes = {64: 32, 128: 32, 160: 64, 512: 128, 1024: 256}
    assert {size: Windows.sized(size, None).overlap for size in sizes} == sizes
    assert Windows.sized(512, 32).overlap == 32


def test_training_mode_is_refused():
    with pytest.raises(RuntimeError, match=r"^predict_in_windows: Local is in training mode"):
        in_windows(Local(5), noise((8, 8)), scale=1, num_classes=5)
