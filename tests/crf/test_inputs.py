"""Input that the CRF refuses or reads, by the message and by what it stands for."""

import math
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg.crf import DenseCRF
from autoseg.errors import UsageError
from tests.crf.reference import SETTINGS, marginals_by_loops, scene

LOGITS = torch.zeros(2, 3, 4, 5)
IMAGES = torch.zeros(2, 3, 4, 5, dtype=torch.uint8)


def put(tensor: Tensor, place: tuple[int, ...], value: float) -> Tensor:
    """A copy with another value at one place."""
    tensor = tensor.clone()
    tensor[place] = value
    return tensor


@pytest.mark.parametrize(
    ("logits", "images", "message"),
    [
        (LOGITS[0], IMAGES, "logits have shape (3, 4, 5); they must be (N, K, H, W), not empty"),
        (LOGITS[:0], IMAGES[:0], "logits have shape (0, 3, 4, 5); they must be (N, K, H, W), not"),
        (LOGITS[:, :1], IMAGES, "logits have shape (2, 1, 4, 5); they must be (N, K, H, W), not"),
        (LOGITS, IMAGES[:1], "they must be (N, 3, H, W) = (2, 3, 4, 5)"),
        (LOGITS[..., :3], IMAGES, "(2, 3, 4, 3) they must be (N, 3, H, W) = (2, 3, 4, 3): resize"),
        (LOGITS, IMAGES.permute(0, 2, 3, 1), "images have shape (2, 4, 5, 3); for logits of"),
        (LOGITS, IMAGES.long(), "torch.int64; they must be RGB from 0 to 255, uint8 or floating"),
        (
            LOGITS,
            put(IMAGES.float(), (1, 2, 3, 0), -0.5),
            "1 of 120 colours are not in 0 to 255, the first at [image, channel, row, column] = "
            "[1, 2, 3, 0]: -0.5; images must be RGB from 0 to 255. To undo a normalisation",
        ),
        (LOGITS, put(IMAGES.double(), (0, 0, 0, 1), 255.5), "column] = [0, 0, 0, 1]: 255.5; imag"),
        (LOGITS, put(IMAGES.half(), (0, 1, 3, 4), math.nan), "column] = [0, 1, 3, 4]: nan; images"),
        (
            put(LOGITS, (1, 0, 3, 2), math.nan),
            IMAGES,
            "1 of 120 logits are infinite or not a number, the first at "
            "[image, class, row, column] = [1, 0, 3, 2]; the network",
        ),
        (put(LOGITS, (0, 2, 0, 0), -math.inf), IMAGES, "row, column] = [0, 2, 0, 0]; the network"),
        (LOGITS.long(), IMAGES, "logits are torch.int64; they must be floating point scores"),
        (LOGITS - math.inf, IMAGES, "120 of 120 logits are infinite or not a number"),
        (LOGITS.log().sqrt(), IMAGES, "120 of 120 logits are infinite or not a number"),
        (LOGITS.to("meta"), IMAGES, "logits are on meta, images on cpu and the weights on cpu"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(logits, images, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        DenseCRF(**SETTINGS)(logits, images)


@pytest.mark.parametrize("place", [(0, 2, 0, 0), (1, 0, 3, 2)])
@pytest.mark.parametrize("rgb_std", [13.0, 1e-4])  # with the latter, names of points do not fit
@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_logits_that_are_not_finite_are_refused_by_inference_alone_too(place, rgb_std, value):
    images = torch.arange(120, dtype=torch.uint8).view_as(IMAGES)
    crf = DenseCRF(bilateral_rgb_std=rgb_std)
    message = "1 of 120 logits are infinite or not a number, the first at [image, class, row, c"
    with torch.no_grad(), pytest.raises(UsageError, match=re.escape(message)) as caught:
        crf(put(LOGITS, place, value), images)
    assert f"column] = {list(place)}; the network" in str(caught.value)


@pytest.mark.parametrize("backend", ["auto", "torch"])
def test_the_largest_logits_are_certain(backend):
    logits = put(put(LOGITS, (1, 0, 3, 2), -3e38), (1, 1, 3, 2), 3e38)
    with torch.no_grad():
        marginals = DenseCRF(backend=backend)(logits, IMAGES)
    assert marginals[1, :, 3, 2].tolist() == [0, 1, 0]


def test_the_advice_for_a_normalised_image_gives_the_image_back():
    images = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    mean, std = torch.rand(2, 3, 1, 1) + 0.1
    normalised = (images / 255 - mean) / std
    with pytest.raises(UsageError, match="To undo a normalisation") as caught:
        DenseCRF(**SETTINGS)(LOGITS, normalised)
    advice = str(caught.value).split("normalisation: ")[1].split(" with the")[0]

    restored = eval(advice, {"images": normalised, "std": std, "mean": mean, "torch": torch})

    assert torch.equal(restored, images)


def test_the_number_of_classes_must_be_that_of_the_parameters():
    logits, images = scene(3, (4, 5))
    crf = DenseCRF(**SETTINGS, compatibility=torch.eye(4))

    with pytest.raises(UsageError, match=r"\(1, 3, 4, 5\) have 3 classes; .* are for 4\."):
        crf(logits, images)


@pytest.mark.parametrize("mode", ["fast", "accurate", "exact", "local"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_float_images_of_whole_colours_give_what_8_bits_give(mode, dtype):
    logits, images = scene(3, (9, 8))
    crf = DenseCRF(**SETTINGS, mode=mode).double()

    marginals = crf(logits, images.to(dtype))

    torch.testing.assert_close(marginals, crf(logits, images), rtol=0, atol=1e-12)


def test_fractions_of_colours_are_seen():
    logits, images = scene(3, (6, 5))
    fractions = (images.double() + 0.37).clamp(max=255)
    fractions[:, 1] = (fractions[:, 1] * 0.81).round(decimals=2)
    settings: dict[str, Any] = SETTINGS | {"bilateral_rgb_std": 10.0}

    marginals = DenseCRF(**settings, mode="exact").double()(logits, fractions)

    expected = marginals_by_loops(logits[0], fractions[0], settings)
    torch.testing.assert_close(marginals[0], expected, rtol=0, atol=1e-10)
    # In float32, too: colours are not whole, so that squares must not be expanded.
    single = DenseCRF(**settings, mode="exact")(logits.float(), fractions)
    torch.testing.assert_close(single[0].double(), expected, rtol=0, atol=2e-6)


def test_images_scaled_to_one_draw_a_warning():
    logits, images = scene(3, (4, 5))

    with pytest.warns(UserWarning, match=r"no colour is above .* multiply them by 255"):
        DenseCRF(**SETTINGS)(logits, images / 255)


@pytest.mark.parametrize("mode", ["fast", "accurate", "exact", "local"])
def test_strides_do_not_matter(mode):
    logits, images = scene(3, (6, 9))
    crf = DenseCRF(**SETTINGS, mode=mode)
    # Stored column by column, channels last, with gaps, and one image expanded to two.
    odd_logits = logits.transpose(2, 3).contiguous().transpose(2, 3)
    odd_images = images.repeat_interleave(2, dim=3)[..., ::2].to(memory_format=torch.channels_last)

    marginals = crf(odd_logits.expand(2, -1, -1, -1), odd_images.expand(2, -1, -1, -1))

    torch.testing.assert_close(marginals, crf(logits, images).expand(2, -1, -1, -1), rtol=0, atol=0)
