"""What a form may differ by: rounding, and where a network unpools what rounding moves."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from autoseg.comparison.forms import bring_into_form
from autoseg.export import Form, SegmentationGraph
from autoseg.export.agreement import (
    DisagreementError,
    UnpoolingWatch,
    allowed_difference,
    random_batches,
    require_agreement,
)
from autoseg.normalisation import IMAGENET
from tests.comparison.test_measuring import subject


@pytest.mark.parametrize("share", [1e-4, 1e-3, 1e-2])
def test_of_windows_that_change_the_norm_differs_by_the_root_of_their_share(share):
    # Both values of a window are uniform in [0, 1], and each is rounded by share / 2 up or down. In
    # 2 * share of the windows they are closer than share, and one of four pairs of roundings makes
    # the other the larger: share / 2 of the values move, each missing here and being there.
    generator = torch.Generator().manual_seed(0)
    exact = torch.rand(1, 1, 1, 2 * 10**6, generator=generator)
    rounded = exact + share / 2 * torch.rand(exact.shape, generator=generator).round().mul(2).sub(1)
    values = torch.randn(1, 1, 1, 10**6, generator=generator)
    unpooled = []
    for maps in (exact, rounded):
        _, places = F.max_pool2d_with_indices(maps, (1, 2))
        unpooled.append(F.max_unpool2d(values, places, (1, 2), output_size=maps.shape[2:]))
    error = (unpooled[0] - unpooled[1]).norm() / unpooled[0].norm()
    assert error == pytest.approx(allowed_difference(share, has_unpooled=True), rel=0.2)


def other_unpoolings():
    """List torch's unpoolings in one and three dimensions, and their inputs."""
    return (
        (F.max_pool1d_with_indices, F.max_unpool1d, torch.rand(1, 2, 6)),
        (F.max_pool2d_with_indices, F.max_unpool2d, torch.rand(1, 2, 6, 4)),
        (F.max_pool3d_with_indices, F.max_unpool3d, torch.rand(1, 2, 6, 4, 4)),
    )


def test_all_of_torchs_unpoolings_are_seen_and_poolings_are_not():
    for pool, unpool, maps in other_unpoolings():
        with torch.inference_mode(), UnpoolingWatch() as watch:
            pooled, places = pool(maps, 2)
            assert not watch.has_unpooled
            unpool(pooled, places, 2)
            assert watch.has_unpooled


class Unpooling(nn.Module):
    """Logits among zeros, where the largest pixels of their windows were."""

    def __init__(self):
        super().__init__()
        self.pool, self.unpool = nn.MaxPool2d(2, return_indices=True), nn.MaxUnpool2d(2)
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, images):
        pooled, places = self.pool(images)
        return self.unpool(self.conv(pooled), places, output_size=images.shape[2:])


def test_an_unpooling_network_may_differ_by_more_and_says_so():
    torch.manual_seed(0)
    graph = SegmentationGraph(Unpooling(), normalisation=IMAGENET, image_scale=1.0).eval()

    def hold(factor):
        def run(images):
            with torch.inference_mode():
                logits, labels = (each.numpy() for each in graph(torch.from_numpy(images)))
            return np.float32(factor) * logits, labels

        return require_agreement(run, graph, form="ONNX", batches=random_batches(3, 1.0))

    assert str(hold(1.005)).startswith("logits differ by 5.0e-03 of their norm (0.01 allowed), ")
    with pytest.raises(DisagreementError, match=r"2\.0e-02 of their norm, more than 0\.01; this"):
        hold(1.02)


@pytest.mark.parametrize(
    ("backend", "dtype", "allowed"),
    [
        ("eager", "bfloat16", math.sqrt(0.05)),
        ("openvino", "bfloat16", 0.05),  # places of float32 move less than all else is rounded
        ("openvino", "float32", 0.01),
    ],
)
def test_what_decides_the_places_says_what_an_unpooling_network_may_differ_by(
    backend, dtype, allowed
):
    assert Form(backend=backend, dtype=dtype).tolerance(has_unpooled=True) == allowed


@pytest.mark.parametrize(("name", "allowed"), [("segnet_basic", math.sqrt(0.05)), ("unet", 0.05)])
def test_a_row_says_what_its_network_may_differ_by(name, allowed):
    form = Form(dtype="bfloat16")
    formed = bring_into_form(subject(name), form, device=torch.device("cpu"))
    assert formed.fields["logits_tolerance"] == allowed
    assert bool(formed.fault) == (formed.logits_error > allowed)
