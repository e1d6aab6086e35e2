"""Several views as one network: what `predict_logits` and `predict_in_windows` give, and the sum of
the views' work."""

import numpy as np
import pytest
import torch
from torch import nn

from autoseg.cost import count_module_macs
from autoseg.data.channels import ImageRegions
from autoseg.errors import UsageError
from autoseg.evaluation import Views, Windows, predict_in_windows, predict_logits
from autoseg.normalisation import IMAGENET

SIZE = (96, 128)


class Local(nn.Module):
    """Logits of a small convolution, which looks no farther than half an overlap."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 5, padding=2)

    def forward(self, images):
        return self.conv(images)


@pytest.fixture
def network():
    return Local().eval()


@pytest.fixture
def images():
    return torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0, 1.25)])
@pytest.mark.parametrize("flip", [False, True])
def test_its_logits_are_those_of_the_averaged_prediction(network, images, scales, flip):
    seeing = Views(scales=scales, flip=flip).seen_by(network, image_scale=0.5)
    expected = predict_logits(network, images, scales=[s * 0.5 for s in scales], flip=flip)
    with torch.inference_mode():
        # Seen as every network is: at the image's own size, by one view.
        assert torch.equal(predict_logits(seeing, images), expected)


def test_windows_give_what_a_network_that_looks_near_gives_in_one_piece(network, images):
    seeing = Views(windows=Windows.sized(64, None)).seen_by(network, image_scale=1.0)
    with torch.inference_mode():
        torch.testing.assert_close(seeing(images), network(images), rtol=1e-5, atol=1e-5)


def test_windows_give_the_classes_of_a_prediction_in_windows(images):
    # Its border sees zeros where a window ends, so that windows differ from one piece.
    torch.manual_seed(0)
    wide = nn.Conv2d(3, 4, 61, padding=30).eval()
    pixels = np.random.default_rng(0).integers(256, size=(3, *SIZE), dtype=np.uint8)
    windows = Windows.sized(64, None)
    image = ImageRegions(SIZE, 3, lambda rows, columns: pixels[:, rows, columns].copy())
    expected = predict_in_windows(
        wide, image, windows=windows, scale=1.0, normalisation=IMAGENET,
        num_classes=4, device="cpu",
    )  # fmt: skip
    normalised = IMAGENET.from_unit(torch.from_numpy(pixels)[None] / 255)
    with torch.inference_mode():
        given = Views(windows=windows).seen_by(wide, image_scale=1.0)(normalised)
        whole = wide(normalised)
    np.testing.assert_array_equal(given.argmax(1)[0].numpy(), expected)
    assert not torch.equal(given.argmax(1), whole.argmax(1))


def test_its_work_is_the_sum_of_the_views(network):
    seeing = Views(scales=(0.5, 1.0), flip=True).seen_by(network, image_scale=0.5)
    macs = 3 * 4 * 25  # a pixel
    assert count_module_macs(seeing, (1, 3, *SIZE)) == 2 * macs * (24 * 32 + 48 * 64)


def test_views_are_named_and_windows_that_cannot_be_are_refused():
    views = Views(scales=(0.75, 1.0), flip=True, windows=Windows.sized(64, None))
    assert str(views) == "scales 0.75 1, flip, windows of 64"
    assert str(Views()) == ""
    with pytest.raises(UsageError, match="window"):
        Windows.sized(65, None)
