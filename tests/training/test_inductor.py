"""`--compile` through torch's own back end, with a C++ compiler, against the same without it."""

import dataclasses
import shutil

import pytest
import torch
from torch import nn
from torch._dynamo.utils import counters

from autoseg.contract import TrainingLogits
from autoseg.data import IMAGENET_MEAN, IMAGENET_STD
from autoseg.networks import crf_rnn
from autoseg.networks.drop_path import DropPath
from autoseg.runs import Run, load_weights
from tests.training.test_loop import (
    CONFIG,
    Flag,
    assert_same_run,
    metrics,
    new_run,
    run_training,
)

# A training is compiled in half a minute or more, and for each size of a part anew.
pytestmark = [
    pytest.mark.nightly,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no g++"),
    # torch's compiler uses what torch itself has deprecated.
    pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Distutils was imported before Setuptools:UserWarning"),
    pytest.mark.filterwarnings("ignore:Setuptools is replacing distutils:UserWarning"),
]


class Network(nn.Module):
    """Small, with all that a training can hold: batch norm, both kinds of dropping, auxiliaries."""

    def __init__(self, *, has_auxiliary=True):
        super().__init__()
        conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.stem = nn.Sequential(conv, nn.BatchNorm2d(8), nn.ReLU())
        self.drop_path, self.dropout = DropPath(), nn.Dropout(0.5)
        self.head, self.auxiliary = nn.Conv2d(8, 12, 1), nn.Conv2d(8, 12, 1, stride=2)
        self.has_auxiliary = has_auxiliary

    def set_training_progress(self, progress):
        # Of a tensor the draws are those that the compiler sees.
        progress = torch.as_tensor(progress)
        self.drop_path.keep = 1 - progress * 0.5

    def forward(self, images):
        maps = self.stem(images)
        logits = self.head(self.dropout(maps + self.drop_path(maps)))
        if not (self.training and self.has_auxiliary):
            return logits
        return TrainingLogits(logits, (self.auxiliary(maps),), (0.4,))


SWITCHES = {"ema_decay": 0.5, "accumulate": 3, "batch_size": 5, "label_smoothing": 0.1}


def with_crf():
    network = Network(has_auxiliary=False)
    return crf_rnn(network, num_classes=12, mean=IMAGENET_MEAN, std=IMAGENET_STD)


@pytest.mark.parametrize(
    ("build", "given", "num_graphs", "tolerance"),
    [
        (Network, {}, 1, 1e-5),
        (Network, {"memory_format": "contiguous"}, 1, 1e-5),
        (Network, SWITCHES, 2, 1e-5),  # parts of two images and of one
        (with_crf, {}, 1, 1e-5),
        # Fused operations round to bf16 once instead of each time: 2^-9, over six steps.
        (Network, {"precision": "bf16"}, 1, 2e-2),
    ],
    ids=["plain", "contiguous", "switches", "crf", "bf16"],
)
def test_a_compiled_training_differs_by_rounding(tmp_path, build, given, num_graphs, tolerance):
    config = dataclasses.replace(CONFIG, **given)
    for compiles in (False, True):
        torch.manual_seed(3)
        counters.clear()
        with new_run(tmp_path / str(compiles)) as run:
            run_training(run, network=build(), config=dataclasses.replace(config, compile=compiles))
    # Six steps, and three validations of images of another size between them.
    assert counters["stats"]["unique_graphs"] == num_graphs
    assert not counters["graph_break"]
    eager, compiled = (metrics(tmp_path / name) for name in ("False", "True"))
    losses, expected = ([line["loss"] for line in lines] for lines in (compiled, eager))
    assert losses == pytest.approx(expected, rel=tolerance)
    saved, weights = (load_weights(tmp_path / name, "last") for name in ("True", "False"))
    assert saved.keys() == weights.keys() == build().state_dict().keys()
    for name, tensor in weights.items():
        error = (saved[name].double() - tensor.double()).norm()
        assert error <= tolerance * tensor.double().norm() + tolerance, name


def test_a_compiled_training_goes_on_bit_for_bit(tmp_path):
    config = dataclasses.replace(CONFIG, compile=True)
    for name, stops in (("whole", ()), ("stopped", (3,))):
        torch.manual_seed(3)
        with new_run(tmp_path / name) as run:
            run_training(run, network=Network(), config=config, stop=Flag(*stops))
    with Run.resume(tmp_path / "stopped") as run:
        _, result = run_training(run, network=Network(), config=config)
    assert result.is_finished
    assert_same_run(tmp_path / "stopped", tmp_path / "whole")
