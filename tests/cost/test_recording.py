"""What one forward pass writes down."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.cost.recording import record_forward


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.body = nn.Sequential(self.convolution, nn.BatchNorm2d(4, affine=False))

    def forward(self, images: Tensor) -> Tensor:
        features = self.body(images)
        return F.linear(features.mean(dim=(2, 3)), torch.ones(7, 4, device=images.device))


def test_operators_come_as_called_with_shapes_settings_and_macs() -> None:
    recording = record_forward(Network(), (5, 6), batch_size=2, device="meta")
    calls = {call.name: call for call in recording.operators}
    assert [call.name for call in recording.operators] == [
        "aten.conv2d.default",
        "aten.batch_norm.default",
        "aten.mean.dim",
        "aten.ones.default",
        "aten.linear.default",
    ]
    convolution = calls["aten.conv2d.default"]
    assert convolution.arguments[:3] == ((2, 3, 5, 6), (4, 3, 3, 3), None)
    assert convolution.output_shape == (2, 4, 5, 6)
    assert convolution.macs == 2 * (5 * 6) * 4 * (3 * 3 * 3)
    norm = calls["aten.batch_norm.default"]
    assert norm.input_shape == (2, 4, 5, 6)
    assert norm.arguments[1] is None  # no scale
    assert norm.arguments[5] is False  # eval mode
    assert norm.macs == 0
    assert calls["aten.ones.default"].input_shape == ()
    assert calls["aten.linear.default"].macs == 2 * 4 * 7


def test_modules_carry_what_happened_inside_them() -> None:
    recording = record_forward(Network(), (5, 6), batch_size=1, device="meta")
    names = [type(call.module).__name__ for call in recording.modules]
    assert names == ["Conv2d", "BatchNorm2d", "Sequential", "Network"]
    convolution, norm, body, network = recording.modules
    assert convolution.macs == body.macs == (5 * 6) * 4 * 27
    assert norm.macs == 0
    assert network.macs == recording.macs == body.macs + 4 * 7
    assert body.input_shape == (1, 3, 5, 6)
    assert body.output_shape == (1, 4, 5, 6)


def test_places_in_the_tree_are_counted() -> None:
    recording = record_forward(Network(), (5, 6), batch_size=1, device="meta")
    paths = {type(module).__name__: num for module, num in recording.num_paths.items()}
    # The convolution hangs in the network and in its body.
    assert paths == {"Network": 1, "Conv2d": 2, "Sequential": 1, "BatchNorm2d": 1}
