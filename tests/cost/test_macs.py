"""MAC counts against closed forms, and against torch's counter on real tensors."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from autoseg.cost import count_macs

H, W = 6, 10


class Functional(nn.Module):
    """Convolution, linear and matmul as functions, without a module that could be hooked."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.ones(4, 3, 3, 3))
        self.matrix = nn.Parameter(torch.ones(4, 5))

    def forward(self, images: Tensor) -> Tensor:
        features = F.conv2d(images, self.kernel, padding=1).flatten(2)  # (N, 4, H*W)
        pooled = F.linear(features.mean(2), self.matrix.T)  # (N, 5)
        return (features.transpose(1, 2) @ self.matrix).sum(1) + pooled


CLOSED_FORMS = [
    (nn.Conv2d(3, 8, 3, padding=1), H * W * 8 * 3 * 9),
    (nn.Conv2d(3, 8, 3, padding=1, bias=False), H * W * 8 * 3 * 9),
    (nn.Conv2d(3, 8, 3, stride=2, padding=1), (H // 2) * (W // 2) * 8 * 3 * 9),
    (nn.Conv2d(3, 8, 3, padding=4, dilation=4), H * W * 8 * 3 * 9),
    (nn.Conv2d(3, 6, 3, padding="same", groups=3), H * W * 6 * 9),
    (nn.ConvTranspose2d(3, 8, 4, stride=2, padding=1), H * W * 8 * 3 * 16),
    (nn.ConvTranspose2d(3, 6, 4, stride=2, padding=1, groups=3), H * W * 6 * 16),
    (nn.Linear(W, 7), 3 * H * W * 7),
    (Functional(), H * W * 4 * 27 + 4 * 5 + H * W * 4 * 5),
    (nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Upsample((H, W))), 0),
    (nn.Sequential(nn.ReLU(inplace=True), nn.Upsample((9, 4), mode="bilinear")), 0),
    (nn.Upsample(scale_factor=2.5, mode="bilinear"), 0),
]


@pytest.mark.parametrize(("network", "expected"), CLOSED_FORMS)
@pytest.mark.parametrize("batch_size", [1, 3])
def test_macs_equal_the_closed_form(network: nn.Module, expected: int, batch_size: int) -> None:
    count = count_macs(network, (H, W), batch_size=batch_size)
    assert count.macs == batch_size * expected
    assert type(count.macs) is int
    assert (count.image_size, count.batch_size) == ((H, W), batch_size)
    assert sum(operator.macs for operator in count.operators) == count.macs


@pytest.mark.parametrize("network", [network for network, _ in CLOSED_FORMS])
def test_meta_and_real_tensors_agree_with_torchs_own_total(network: nn.Module) -> None:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network.eval()(torch.zeros(1, 3, H, W))
    assert counter.get_total_flops() == 2 * count_macs(network, (H, W)).macs
    assert count_macs(network, (H, W)) == count_macs(network, (H, W), device="cpu")


def test_operators_are_itemised_and_the_unpriced_listed() -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.ReLU(), nn.Conv2d(4, 2, 1)
    )
    count = count_macs(network, (H, W))
    convolutions = count.operators[0]
    assert convolutions.name == "aten.conv2d.default"
    assert convolutions.num_calls == 2
    assert convolutions.output_elements == (4 + 2) * H * W
    assert convolutions.macs == count.macs == (3 * 4 + 4 * 2) * H * W
    assert [(o.name, o.num_calls, o.output_elements, o.macs) for o in count.unpriced] == [
        ("aten.batch_norm.default", 1, 4 * H * W, 0),
        ("aten.relu.default", 2, 2 * 4 * H * W, 0),
    ]


def test_a_custom_operator_is_not_lost() -> None:
    @torch.library.custom_op("autoseg_tests::heavy", mutates_args=())
    def heavy(images: Tensor) -> Tensor:
        return images @ images.transpose(-1, -2)

    @heavy.register_fake
    def _(images: Tensor) -> Tensor:
        return images.new_empty(*images.shape[:-1], images.shape[-2])

    class Custom(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return heavy(images)

    count = count_macs(Custom(), (H, W))
    assert [operator.name for operator in count.unpriced] == ["autoseg_tests.heavy.default"]
    assert count.unpriced[0].output_elements == 3 * H * H


def test_a_full_size_image_costs_no_memory() -> None:
    # 40 TB of activations, were they real.
    network = nn.Sequential(nn.Conv2d(3, 512, 3, padding=1), nn.Conv2d(512, 19, 1))
    count = count_macs(network, (102_400, 204_800))
    assert count.macs == 102_400 * 204_800 * (27 * 512 + 512 * 19)


def test_the_network_is_not_touched() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout())
    before = copy.deepcopy(network.state_dict())
    count_macs(network, (H, W))
    assert network.training
    assert network[1].training
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(not module._forward_hooks for module in network.modules())
    assert all(not module._forward_pre_hooks for module in network.modules())


def test_eval_mode_is_what_is_counted() -> None:
    class Auxiliary(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            logits = super().forward(input)
            return logits + super().forward(input) if self.training else logits

    assert count_macs(Auxiliary(3, 2, 1), (H, W)).macs == 3 * 2 * H * W


def test_half_precision_networks_are_counted() -> None:
    network = nn.Conv2d(3, 2, 1).to(torch.bfloat16)
    assert count_macs(network, (H, W)).macs == 3 * 2 * H * W
    assert network.weight.dtype == torch.bfloat16


def test_a_network_that_needs_values_is_refused_and_then_counted_on_cpu() -> None:
    class Conditional(nn.Conv2d):
        def forward(self, input: Tensor) -> Tensor:
            return super().forward(input) if float(input.sum()) == 0 else input

    network = Conditional(3, 2, 1)
    with pytest.raises(RuntimeError) as error:
        count_macs(network, (H, W))
    assert "counting MACs: Conditional does not run on 'meta'" in str(error.value)
    assert "count on real memory with device='cpu'" in str(error.value)
    assert count_macs(network, (H, W), device="cpu").macs == 3 * 2 * H * W


@pytest.mark.parametrize(("image_size", "batch_size"), [((0, 4), 1), ((4, -1), 1), ((4, 4), 0)])
def test_an_empty_image_is_refused(image_size: tuple[int, int], batch_size: int) -> None:
    with pytest.raises(ValueError) as error:
        count_macs(nn.Conv2d(3, 2, 1), image_size, batch_size=batch_size)
    assert f"image_size {image_size} with batch_size {batch_size} holds no pixel" in str(
        error.value
    )
