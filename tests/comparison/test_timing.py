"""Networks are timed in turn, and the parts of a network's time are parts of what was scored."""

from dataclasses import replace
from itertools import groupby

import pytest
import torch
from torch import nn

from autoseg.comparison import TimingChoice
from autoseg.comparison.timing import Stages, memory_of, time_networks
from autoseg.crf import DenseCRF
from autoseg.data import build_dataset
from autoseg.export import Form, run_in_form
from tests.comparison.test_measuring import subject

CPU = torch.device("cpu")


def stages(order, name, *, crf=None, image_scale=1.0):
    given = subject(num_images=0, image_scale=image_scale)
    given.network.register_forward_pre_hook(lambda *_: order.append(name))
    return Stages(given, crf=crf, device=CPU)


def test_networks_are_timed_in_turn():
    order = []
    both = [stages(order, "a"), stages(order, "b", crf=DenseCRF(num_iterations=1))]
    order.clear()
    timing = TimingChoice(min_runs=4, min_seconds=0.0, max_warm_up_seconds=0.0, max_drift=1e9)
    plain, refined = time_networks(both, device=CPU, timing=timing)
    # Warm-up, four rounds, and the memory at the end.
    assert "".join(name for name, _ in groupby(order)) == "ab" * 6
    assert plain.crf is None and plain.memory_together_mib == plain.memory_mib
    assert refined.crf.median_ms > 0 and refined.memory_together_mib > 0
    for time in (plain.forward, plain.finish, plain.network, refined.together):
        assert time.num_runs == 4
        assert 0 < time.median_low_ms <= time.median_high_ms
        assert time.median_ms <= time.p90_ms <= time.p99_ms


def test_the_parts_are_those_of_the_whole():
    given = stages([], "a", crf=DenseCRF(num_iterations=1), image_scale=0.5)
    assert given.functions == [
        *(given.forward, given.finish, given.alone),
        *(given.crf, given.together),
    ]
    with torch.inference_mode():
        assert given.forward().shape == (1, 4, 16, 24)  # the network sees half of 32 x 48
        assert given.finish().equal(given.alone())
        assert given.crf().equal(given.together())


def test_the_network_does_not_run_in_what_comes_beside_it():
    order = []
    given = stages(order, "a")
    order.clear()
    with torch.inference_mode():
        given.finish()
    assert order == []


@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_memory_of_a_back_end_is_that_of_its_largest_maps(backend):
    for package in ("onnxscript", backend):
        pytest.importorskip(package)
    network = nn.Sequential(
        *(nn.Conv2d(3, 32, 1), nn.ReLU()),
        *(nn.Conv2d(32, 32, 3, padding=1), nn.ReLU()),
        nn.Conv2d(32, 4, 1),
    )
    dataset = build_dataset("synthetic", split="val", image_size=(512, 512), num_classes=4)
    form = Form(backend=backend)
    running = run_in_form(network.eval(), form, num_channels=3, device=CPU).network
    given = replace(subject(num_images=0), network=running, dataset=dataset)
    made = Stages(given, crf=None, device=CPU, form=form)
    peak_mib = memory_of(made.alone, device=CPU, form=form)
    # Two maps of 32 channels of float32 at once, 32 MiB each; a library may bring one into an
    # order of its own, and a few MiB are what the first prediction sets up.
    assert 64 <= peak_mib < 64 + 32 + 8
