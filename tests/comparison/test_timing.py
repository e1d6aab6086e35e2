"""Networks are timed in turn, and the parts of a network's time are parts of what was scored."""

import io
from dataclasses import replace
from functools import partial
from itertools import groupby
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from autoseg.comparison import Comparison, TimingConfig, group_networks
from autoseg.comparison import timing as timing_module
from autoseg.comparison.documents import stage_tables
from autoseg.comparison.report import comparison_page
from autoseg.comparison.timing import Stages, memory_of, time_networks
from autoseg.crf import DenseCRF
from autoseg.data import build_dataset
from autoseg.export import Form, run_in_form
from autoseg.runs import Progress
from tests.comparison.rows import network
from tests.comparison.test_measuring import measure, subject

CPU = torch.device("cpu")


def stages(order, name, *, crf=None, image_scale=1.0):
    given = subject(num_images=0, image_scale=image_scale)
    given.network.register_forward_pre_hook(lambda *_: order.append(name))
    return Stages(given, crf=crf, device=CPU)


def test_networks_are_timed_in_turn():
    order = []
    both = [stages(order, "a"), stages(order, "b", crf=DenseCRF(num_iterations=1))]
    order.clear()
    timing = TimingConfig(min_runs=4, min_seconds=0.0, max_warm_up_seconds=0.0, max_drift=1e9)
    plain, refined = time_networks(both, device=CPU, timing=timing)
    # Warm-up, four rounds, and the memory at the end.
    assert "".join(name for name, _ in groupby(order)) == "ab" * 6
    assert plain.upload is None and plain.total is plain.network  # a CPU has no way to itself
    assert plain.crf is None and plain.memory_together_mib == plain.memory_mib
    assert refined.crf.median_ms > 0 and refined.memory_together_mib > 0
    for time in (plain.forward, plain.finish, plain.network, refined.together):
        assert time.num_runs == 4
        assert 0 < time.median_low_ms <= time.median_high_ms
        assert time.median_ms <= time.p90_ms <= time.p99_ms


def test_the_parts_are_those_of_the_whole():
    given = stages([], "a", crf=DenseCRF(num_iterations=1), image_scale=0.5)
    assert given.functions == {
        "forward": given.forward,
        "finish": given.finish,
        "network": given.alone,
        "crf": given.crf,
        "together": given.together,
    }
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


@pytest.fixture
def apart(monkeypatch):
    """Let the CPU play a device with a memory of its own: each copy to it takes 3 s of a clock."""
    state = SimpleNamespace(now=0.0, copied=[])

    def upload(self):
        state.now += 3.0
        state.copied.append(real(self))
        return state.copied[-1]

    real = timing_module.Stages.upload
    monkeypatch.setattr(timing_module.Stages, "upload", upload)
    monkeypatch.setattr(timing_module, "has_own_memory", lambda device: True)
    in_rounds = partial(timing_module.measure_in_rounds, clock=lambda: state.now)
    monkeypatch.setattr(timing_module, "measure_in_rounds", in_rounds)
    return state


def test_the_copy_to_a_device_is_a_stage_and_the_total_begins_with_it(apart):
    given = subject(num_images=0)

    def run(*_):
        apart.now += 10.0

    given.network.register_forward_pre_hook(run)
    crf = DenseCRF(num_iterations=1)
    both = Stages(given, crf=crf, device=CPU)
    timing = TimingConfig(min_runs=2, min_seconds=0.0, max_warm_up_seconds=0.0, max_drift=1e9)
    (costs,) = time_networks([both], device=CPU, timing=timing)
    seconds = {
        name: getattr(costs, name).median_ms / 1000
        for name in ("upload", "forward", "finish", "network", "total", "crf", "together")
    }
    assert seconds == {
        "upload": 3,
        "forward": 10,
        "finish": 0,
        "network": 10,
        "total": 13,
        "crf": 0,
        "together": 13,
    }
    # A copy, and not the image that already lies there.
    assert len({each.data_ptr() for each in apart.copied[-2:]} | {both._images.data_ptr()}) == 3
    with torch.inference_mode():
        assert both.upload().equal(both._images)
        assert both.total().equal(both.alone()) and both.together().equal(both.refined())


def test_the_row_holds_the_copy_and_the_tables_show_it(apart):
    measured = measure(
        subject(num_images=0),
        device=CPU,
        crf=None,
        crf_text="",
        timing=TimingConfig(min_runs=1, min_seconds=0.0, max_warm_up_seconds=0.0, max_drift=1e9),
        progress=Progress(1, description="x", stream=io.StringIO()),
    )
    (row,) = measured.rows
    assert (row.upload_latency_median_ms, row.latency_median_ms) == (3000, 0)
    assert row.total_latency_median_ms == 3000
    headings = {
        upload: [column.heading for column in stage_tables(group)[0].columns]
        for upload in (3.0, None)
        for group in group_networks([network(upload_latency_median_ms=upload)])
    }
    assert headings[3.0][:3] == ["Network", "Host to device", "Network itself"]
    assert "Host to device" not in headings[None]  # absent, and not 0
    pages = [
        comparison_page(Comparison(groups=tuple(group_networks([each])), left_out=(), protocol={}))
        for each in (network(upload_latency_median_ms=3.0), network())
    ]
    assert ["host to device" in page for page in pages] == [True, False]


@pytest.mark.parametrize(("backend", "is_recorded"), [("eager", False), ("cuda-graph", True)])
def test_the_memory_of_a_graph_is_measured_while_it_is_recorded(monkeypatch, backend, is_recorded):
    # Once recorded, its maps are there before the measured call begins.
    log = []
    monkeypatch.setattr(timing_module, "forget_recordings", lambda network: log.append("forget"))
    monkeypatch.setattr(
        timing_module,
        "measure_peak_memory",
        lambda function, device: [function() for _ in range(2)] and 1.0,
    )
    given = Stages(subject(num_images=0), crf=None, device=CPU, form=Form(backend=backend))
    given._network.register_forward_pre_hook(lambda *_: log.append("run"))
    memory_mib, _ = timing_module._memory_and_energy(given, given.alone, CPU)
    assert memory_mib == 1.0
    assert log == (["forget", "run"] if is_recorded else ["run"]) * 2


def test_another_batch_takes_the_room_of_the_graphs_before_it(monkeypatch):
    forgotten = []
    monkeypatch.setattr(timing_module, "forget_recordings", forgotten.append)
    given = stages([], "a")
    given.repeated(2)
    assert forgotten == [given._network]
