"""Parts of a batch give the gradient of the whole."""

import dataclasses

import pytest
import torch
from torch import nn

from autoseg.config import TrainingConfig
from autoseg.contract import TrainingLogits
from autoseg.errors import UsageError
from autoseg.runs import load_weights
from autoseg.training import resolve_precision
from autoseg.training.accumulation import add_gradients
from autoseg.training.chosen_loss import ChosenLoss, build_loss, weights_of_classes
from tests.training.test_loop import CONFIG, new_run, run_training

N, K, IGNORED = 5, 4, 255
CPU = torch.device("cpu")


class WithAuxiliary(nn.Module):
    """Logits, and those of an auxiliary classifier at half the size; no batch norm."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, K, 1)
        self.auxiliary = nn.Conv2d(6, K, 2, stride=2)

    def forward(self, images):
        maps = self.first(images).relu()
        return TrainingLogits(self.last(maps), (self.auxiliary(maps),), (0.4,))


def gradients(num_parts, chosen):
    torch.manual_seed(0)
    network = WithAuxiliary().double()
    images = torch.randn(N, 3, 6, 8, dtype=torch.float64)
    target = torch.randint(K, (N, 6, 8))
    target[0] = IGNORED  # a part may have no labelled pixel at all
    target[1, :, 3:] = IGNORED
    value = add_gradients(
        network,
        images,
        target,
        num_parts=num_parts,
        loss=build_loss(chosen, device=CPU),
        class_weights=weights_of_classes(chosen, device=CPU),
        ignore_index=IGNORED,
        precision=resolve_precision("fp32", CPU),
    )
    return [value, *(parameter.grad for parameter in network.parameters())]


@pytest.mark.parametrize("num_parts", [2, N])
@pytest.mark.parametrize("class_weights", [None, {"a": 0.2, "b": 3.0, "c": 1.0, "d": 0.0}])
@pytest.mark.parametrize(
    "terms",
    [
        {"cross_entropy": {"label_smoothing": 0.1}},
        {"cross_entropy": {}, "focal": {"gamma": 2.0}},
    ],
)
def test_parts_add_up_to_the_whole(terms, class_weights, num_parts):
    chosen = ChosenLoss(terms=terms, class_weights=class_weights)
    for part, whole in zip(gradients(num_parts, chosen), gradients(1, chosen), strict=True):
        # float64: sums in another order.
        torch.testing.assert_close(part, whole, rtol=1e-11, atol=1e-13)


def test_a_training_in_parts_is_that_of_the_whole_batch(tmp_path):
    """Two images in two parts, without batch norm and dropout; three steps in float32."""

    def network():
        torch.manual_seed(5)
        return nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 12, 1))

    config = dataclasses.replace(CONFIG, num_steps=3, validate_every=3)
    for name, parts in (("whole", 1), ("parts", 2)):
        with new_run(tmp_path / name) as run:
            run_training(
                run, network=network(), config=dataclasses.replace(config, accumulate=parts)
            )
    whole = load_weights(tmp_path / "whole", "last")
    for name, tensor in load_weights(tmp_path / "parts", "last").items():
        torch.testing.assert_close(tensor, whole[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accumulate": 3, "batch_size": 2}, "use --accumulate 2 or less"),
        ({"accumulate": 2, "loss": ("cross_entropy", "dice")}, "the loss dice needs the whole"),
    ],
)
def test_parts_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TrainingConfig(**settings)
