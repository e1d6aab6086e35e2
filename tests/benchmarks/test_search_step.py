"""What the benchmark of the search step says, against counts by other means and by hand."""

import csv
import ctypes
import dataclasses
import importlib
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from autoseg.architecture import SearchSpace
from autoseg.errors import UsageError
from autoseg.supernet import reference

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DENSE = ("none", "skip_connect", "atrous_conv_3x3", "max_pool_3x3", "atrous_conv_5x5")


@pytest.fixture
def bench(monkeypatch):
    """The command and its parts, as attributes."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    parts = ("calls", "figures", "memory", "peer", "report", "running", "scaling", "setting")
    parts += ("variants", "work", "worker")
    modules = {name: importlib.import_module(f"search_cost.{name}") for name in parts}
    return SimpleNamespace(command=importlib.import_module("search_step"), **modules)


def small_space(**changes):
    space = dataclasses.replace(
        SearchSpace.load("autodeeplab_depthwise"),
        num_layers=3,
        num_nodes=2,
        filter_multiplier=2,
        stem_channels=(3, 4, 6),
    )
    return dataclasses.replace(space, **changes)


def small_setting(bench, **changes):
    setting = bench.setting.Setting(
        space=small_space(),
        num_classes=3,
        crop=32,
        batch_size=2,
        device="cpu",
        precision="fp32",
        num_threads=1,
    )
    return dataclasses.replace(setting, **changes)


def torch_supernet(bench, space):
    setting = small_setting(bench, space=space, num_classes=5)
    return bench.variants.build_supernet(setting, backend="torch")


def count_flops(function):
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


# Work


@pytest.mark.parametrize("operations", [small_space().operations, DENSE])
@pytest.mark.parametrize("crop", [37, 64])
def test_forward_work_is_that_of_the_reference(bench, monkeypatch, operations, crop):
    """Torch counts the FLOPs of the per-edge version, and its batch norms note their maps."""
    space = small_space(operations=operations, num_layers=4)
    net = torch_supernet(bench, space)
    num_elements = []
    batch_norm = reference.batch_norm

    def noting(maps, *arguments):
        num_elements.append(maps.numel())
        return batch_norm(maps, *arguments)

    monkeypatch.setattr(reference, "batch_norm", noting)
    images = torch.randn(2, 3, crop, crop)
    flops = count_flops(lambda: reference.reference_logits(net, images, training=True))
    work = bench.work.count_work(space, crop=crop, batch_size=2, num_classes=5, is_shared=False)
    assert work.forward_flops == flops
    assert work.num_elements == sum(num_elements)


def test_half_steps_are_priced_by_the_gradients_that_they_need(bench):
    # Full convolutions: torch's counter overprices the weights' gradient of depthwise ones.
    space = small_space(operations=DENSE, num_layers=4)
    net = torch_supernet(bench, space)
    images = torch.randn(2, 3, 64, 64)

    def half_step():
        reference.reference_logits(net, images, training=True).sum().backward()

    work = bench.work.count_work(space, crop=64, batch_size=2, num_classes=5, is_shared=False)
    assert work.weight_flops == count_flops(half_step)
    with net.only_gradients_of(net.arch_parameters()):
        assert work.arch_flops == count_flops(half_step)
    assert 2.5 * work.forward_flops < work.weight_flops < 3 * work.forward_flops
    assert 1.5 * work.forward_flops < work.arch_flops < 2 * work.forward_flops


def test_shared_work_counts_each_result_once(bench):
    """Against the convolutions of the batched supernet, where kernels of all sizes are full."""
    space = small_space(operations=DENSE, num_layers=4)
    net = torch_supernet(bench, space)
    with FlopCounterMode(display=False) as counter:
        net(torch.randn(2, 3, 64, 64))
    convolutions = counter.get_flop_counts()["Global"][torch.ops.aten.convolution]
    work = bench.work.count_work(space, crop=64, batch_size=2, num_classes=5)
    assert work.forward_flops == convolutions


def test_shared_work_by_hand(bench):
    # Layer 1 at stride 4 reads the stem as its previous-previous cell, for 2 input cells.
    space = small_space(num_layers=2, num_nodes=1, strides=(4, 8), filter_multiplier=3)
    sizes = {"crop": 32, "batch_size": 2, "num_classes": 5}
    shared = bench.work.count_work(space, **sizes)
    apart = bench.work.count_work(space, **sizes, is_shared=False)
    pixels = 2 * 8 * 8
    input_cell = 6 * 3
    depthwise = 2 * (9 + 25) * 3 + (9 + 25) * 3  # sep twice, dil once
    pointwise = 6 * 3**2
    assert apart.forward_flops - shared.forward_flops == 2 * pixels * (
        input_cell + depthwise + pointwise
    )
    # The same edge has 6 maps of convolutions and 2 of pools; the input cell has one.
    assert apart.num_elements - shared.num_elements == 3 * pixels * (6 + 2 + 1)


def test_the_floor_is_the_slower_of_compute_and_traffic(bench):
    work = bench.work.Work(forward_flops=0, weight_flops=6_000, arch_flops=4_000, num_elements=100)
    assert work.step_bytes(4) == 2 * 3 * 400
    by_compute = bench.work.Ceilings(gflop_per_s=1e-6, gb_per_s=1.0)
    assert by_compute.floor_ms(work, bytes_an_element=4) == pytest.approx(10_000)
    by_traffic = bench.work.Ceilings(gflop_per_s=1.0, gb_per_s=1e-6)
    assert by_traffic.floor_ms(work, bytes_an_element=2) == pytest.approx(1_200)


def test_ceilings_are_rates_of_the_work_asked_for(bench, monkeypatch):
    seconds = iter([2.0, 4.0])
    monkeypatch.setattr(bench.work, "_best_s", lambda function, device: next(seconds))
    ceilings = bench.work.measure_ceilings("cpu", torch.float32, matrix_side=500, copy_mib=1)
    assert ceilings.gflop_per_s == pytest.approx(2 * 500**3 / 2.0 / 1e9)
    assert ceilings.gb_per_s == pytest.approx(2 * 2**20 / 4.0 / 1e9)


# Calls and memory


def test_views_and_allocations_are_no_calls(bench):
    maps = torch.randn(2, 3)

    def function():
        maps.view(6).t().unsqueeze(0)  # 3 views
        torch.empty(4)
        (maps + 1).relu_().sum(dim=0).split(1)  # 3 calls, 1 view

    calls = bench.calls.count_calls(function)
    assert dataclasses.astuple(calls) == (3, 0, 5)


def test_calls_of_the_backward_pass_count(bench):
    maps = torch.randn(3, requires_grad=True)
    gradient = torch.ones(3)
    calls = bench.calls.count_calls(lambda: maps.relu().backward(gradient))
    assert calls.num_operator_calls == 2  # relu and its gradient


def test_fused_kernels_are_counted_apart(bench, monkeypatch):
    class Kernels:
        def pack(self): ...
        def unpack(self): ...
        def forward(self, maps):
            return maps + 1

        def backward(self): ...

    module = ModuleType("autoseg.supernet.made_up")
    Kernels.__module__ = module.__name__
    module.Kernels = Kernels
    monkeypatch.setitem(sys.modules, module.__name__, module)
    forward, kernels = Kernels.forward, Kernels()

    def function():
        assert kernels.forward(torch.ones(2)).tolist() == [2, 2]
        kernels.backward()

    calls = bench.calls.count_calls(function)
    assert calls.num_kernel_calls == 2
    assert calls.num_operator_calls == 2  # ones, +
    assert Kernels.forward is forward


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak")
def test_peak_memory_is_what_was_held_at_once(bench):
    if sys.platform == "linux":  # or memory that other tests freed goes back in between
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    memory = bench.memory.PeakMemory("cpu")
    for _ in range(2):
        torch.ones(2**26, dtype=torch.uint8)  # 64 MiB, freed again
    peak = memory.read_mib()
    assert peak == pytest.approx(64, abs=6)


# Rows


def measurement(bench, variant, times, memory_mib=100.0, **changes):
    made = bench.setting.Measurement(
        setting=small_setting(bench),
        variant=variant,
        warm_up=(bench.setting.StepTime(step_ms=999.0, weight_ms=500.0, arch_ms=499.0),),
        times=tuple(
            bench.setting.StepTime(step_ms=w + a, weight_ms=w, arch_ms=a) for w, a in times
        ),
        memory_mib=memory_mib,
        calls=bench.setting.Calls(num_operator_calls=7, num_kernel_calls=2, num_free_calls=1),
    )
    return dataclasses.replace(made, **changes)


def test_rows_hold_ratios_of_one_run(bench):
    measurements = [
        measurement(bench, "torch", [(3.0, 2.0), (2.0, 2.0), (9.0, 9.0)], memory_mib=50.0),
        measurement(bench, "peer", [(30.0, 10.0)]),
        measurement(bench, "fused", [], failure="no compiler", memory_mib=None, calls=None),
    ]
    ceilings = bench.work.Ceilings(gflop_per_s=100.0, gb_per_s=1e9)
    torch_row, peer_row, fused_row = bench.running.compare(measurements, ceilings)
    assert (torch_row.weight_min_ms, torch_row.arch_min_ms, torch_row.step_min_ms) == (2, 2, 4)
    assert (torch_row.weight_median_ms, torch_row.step_median_ms) == (3, 5)
    assert torch_row.speedup_peer_min == 40 / 4
    assert torch_row.speedup_peer_median == 40 / 5
    assert torch_row.memory_peer == 2
    assert torch_row.speedup_reference_min is None
    assert torch_row.warm_up_ms == 999
    assert (peer_row.speedup_peer_min, peer_row.num_repeats) == (1, 1)
    work = bench.work.count_work(small_space(), crop=32, batch_size=2, num_classes=3)
    assert torch_row.floor_ms == pytest.approx(work.step_flops / 1e8)
    assert torch_row.floor_share == pytest.approx(torch_row.floor_ms / 4)
    assert (fused_row.step_min_ms, fused_row.floor_share) == (None, None)
    table = bench.report.table_markdown([torch_row, peer_row, fused_row])
    assert "- not measured: fused: no compiler" in table
    assert "2.000 / 3.000" in table and "reference" not in table


def test_a_graphed_step_has_no_halves(bench):
    times = (bench.setting.StepTime(step_ms=5.0, weight_ms=None, arch_ms=None),)
    made = dataclasses.replace(measurement(bench, "fused-graph", []), times=times)
    ceilings = bench.work.Ceilings(gflop_per_s=1.0, gb_per_s=1.0)
    (row,) = bench.running.compare([made], ceilings)
    assert (row.weight_min_ms, row.arch_median_ms, row.step_min_ms) == (None, None, 5)
    bars = bench.figures.draw_comparison([row], title="").axes[0].patches
    assert [bar.get_width() for bar in bars] == [0, 0, 5]


# Growth


def scaling_rows(bench):
    """Times 2 * L * F^1.5 * (crop / 64)^2 * N of the grid, exactly."""
    rows = []
    for setting in bench.scaling.scaling_settings(small_setting(bench)):
        space = setting.space
        factors = space.num_layers * space.filter_multiplier**1.5 * (setting.crop / 64) ** 2
        made = measurement(bench, "torch", [(factors * setting.batch_size, 0.0)], memory_mib=8.0)
        made = dataclasses.replace(made, setting=setting)
        rows += bench.running.compare([made], bench.work.Ceilings(gflop_per_s=1, gb_per_s=1))
    return rows


def test_power_laws_are_found(bench):
    rows = scaling_rows(bench)
    num_values = sum(len(values) for values in bench.scaling.GRID.values())
    assert len(rows) == num_values - (len(bench.scaling.GRID) - 1)  # the base is on every curve
    laws = {(law.factor, law.quantity): law for law in bench.scaling.fit_power_laws(rows)}
    exponents = {"num_layers": 1, "filter_multiplier": 1.5, "crop": 2, "batch_size": 1}
    for factor, exponent in exponents.items():
        law = laws[factor, "step_min_ms"]
        assert law.exponent == pytest.approx(exponent)
        assert law.largest_error == pytest.approx(0, abs=1e-9)
        assert law.num_points == len(bench.scaling.GRID[factor])
        assert laws[factor, "memory_mib"].exponent == pytest.approx(0, abs=1e-9)
    assert laws["num_layers", "step_min_ms"].coefficient == pytest.approx(4**1.5 * 2)


def test_the_figure_shows_points_and_laws(bench):
    rows = scaling_rows(bench)
    laws = list(bench.scaling.fit_power_laws(rows))
    figure = bench.figures.draw_scaling(rows, laws, title="")
    crop = figure.axes[list(bench.scaling.GRID).index("crop")]
    dots, line = crop.lines
    assert tuple(dots.get_xdata()) == bench.scaling.GRID["crop"]
    assert line.get_label() == "torch: x^2.00"


def test_bars_are_the_smallest_times(bench):
    made = [
        measurement(bench, "torch", [(3.0, 2.0), (4.0, 1.0)]),
        measurement(bench, "peer", [], failure="broken"),
    ]
    rows = bench.running.compare(made, bench.work.Ceilings(gflop_per_s=1.0, gb_per_s=1.0))
    left, right = bench.figures.draw_comparison(rows, title="").axes
    assert [bar.get_width() for bar in left.patches] == [3, 1]
    assert [bar.get_width() for bar in right.patches] == [100]
    with pytest.raises(ValueError, match="no variant was measured"):
        bench.figures.draw_comparison(rows[1:], title="")


# Processes

FAKE_PEER = """
import torch
from modeling.modules import InPlaceABNSync

class AutoDeeplab(torch.nn.Module):
    def __init__(self, num_classes, num_layers, criterion, filter_multiplier, block_multiplier,
                 step):
        super().__init__()
        assert (num_layers, filter_multiplier, block_multiplier, step) == (3, 2, 2, 2)
        self.norm = InPlaceABNSync(3)
        self.conv = torch.nn.Conv2d(3, num_classes, 1)
        self.alphas = torch.nn.Parameter(torch.zeros(1))

    def arch_parameters(self):
        return [self.alphas]

    def weight_parameters(self):
        return [*self.norm.parameters(), *self.conv.parameters()]

    def forward(self, images):
        return self.conv(self.norm(images)) * torch.ones(1).cuda() + self.alphas
"""


def make_peer(folder):
    (folder / "modeling").mkdir(parents=True)
    (folder / "modeling" / "__init__.py").touch()
    (folder / "auto_deeplab.py").write_text(FAKE_PEER)
    return folder


def arguments(tmp_path, *more):
    sizes = "--layers 3 --filters 2 --nodes 2 --crop 32 --classes 3 --repeats 2 --threads 1"
    return [*sizes.split(), "--device", "cpu", "--out", str(tmp_path / "out"), *more]


@pytest.mark.slow
def test_the_command_measures_and_writes_every_variant(bench, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(
        bench.command,
        "measure_ceilings_apart",
        lambda setting: bench.work.Ceilings(gflop_per_s=10.0, gb_per_s=10.0),
    )
    peer = make_peer(tmp_path / "peer")
    given = arguments(tmp_path, "--peer", str(peer), "--peer-repeats", "1")
    given += ["--variants", "torch", "fused", "peer"]
    assert bench.command.main(given) == 0

    out = tmp_path / "out"
    with (out / "search_step.csv").open(newline="") as file:
        rows = {row["variant"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["torch", "fused", "peer"]
    assert [rows[name]["num_repeats"] for name in ("torch", "peer")] == list("21")
    calls = {name: int(rows[name]["num_operator_calls"]) for name in ("torch", "peer")}
    assert calls["torch"] > calls["peer"] > 0
    for row in rows.values():
        # A back end that is not there says so; nothing else may fail.
        assert bool(row["failure"]) == (row["step_min_ms"] == "")
        assert not row["failure"] or row["variant"] == "fused"
    half_steps = [float(rows["torch"][key]) for key in ("weight_min_ms", "arch_min_ms")]
    assert 0 < sum(half_steps) <= float(rows["torch"]["step_min_ms"])

    record = json.loads((out / "search_step.json").read_text())
    assert {"git", "versions", "hardware", "date", "ceilings"} <= set(record)
    assert record["command"].endswith("--variants torch fused peer")
    assert [row["variant"] for row in record["rows"]] == list(rows)
    printed = capsys.readouterr()
    document = (out / "search_step.md").read_text()
    table = [line for line in printed.out.splitlines() if line.startswith("|")]
    assert len(table) == 2 + 3
    assert all(line in document for line in table)
    assert "steps, " in printed.err and " left" in printed.err
    assert (out / "search_step.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_profile_names_the_operators(bench, tmp_path, capsys):
    assert bench.command.main(arguments(tmp_path, "--profile", "torch")) == 0
    text = (tmp_path / "out" / "profile-torch-crop32.txt").read_text()
    assert "convolution_backward" in text and "Self CPU" in text
    assert text in capsys.readouterr().out


@pytest.mark.slow
def test_what_fails_is_a_result(bench, tmp_path):
    broken = small_setting(bench, peer=tmp_path)  # no auto_deeplab.py
    with pytest.raises(bench.worker.Unavailable, match="No module named 'auto_deeplab'"):
        bench.worker.VariantProcess(broken, "peer")
    with bench.worker.VariantProcess(small_setting(bench), "torch") as process:
        process._process.kill()
        with pytest.raises(bench.worker.Unavailable, match=r"code -9, killed: too little memory"):
            process.step()


# Requests


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"repeats": 0}, "--repeats is 0; it must be at least 1"),
        ({"crop": (64, 0)}, "--crop is 0; it must be at least 1"),
        ({"peer_repeats": 0}, "--peer-repeats is 0"),
        ({"scaling": True, "profile": "torch"}, "two measurements"),
        ({"scaling": True, "crop": (64,)}, "--scaling has its own sizes"),
        ({"variants": ("peer",)}, "the variant peer needs its checkout; name it with --peer"),
        ({"profile": "peer"}, "the variant peer needs its checkout"),
    ],
)
def test_bad_requests_are_refused(bench, fields, message):
    with pytest.raises(UsageError, match=message):
        bench.command.StepRequest(**fields)


def test_a_folder_without_the_peer_is_refused(bench, tmp_path):
    with pytest.raises(UsageError, match=r"there is no auto_deeplab.py; name a checkout"):
        bench.command.StepRequest(peer=tmp_path, device="cpu").settings()
    peer = make_peer(tmp_path / "peer")
    with pytest.raises(UsageError, match="use --space autodeeplab_depthwise"):
        bench.command.StepRequest(peer=peer, space="autodeeplab", device="cpu").settings()
    with pytest.raises(UsageError, match="at least 3 layers, not 2"):
        bench.command.StepRequest(peer=peer, layers=2, device="cpu").settings()


def test_variants_and_sizes_are_resolved(bench, tmp_path):
    request = bench.command.StepRequest(device="cpu", crop=(64, 128), layers=4, filters=6)
    first, second = request.settings()
    assert (first.crop, second.crop, first.batch_size, first.num_classes) == (64, 128, 2, 19)
    assert first.label == "autodeeplab_depthwise L4 F6 B5, crop 64, batch 2"
    own = ("torch", "fused", "torch-recompute", "fused-recompute", "reference")
    assert request.chosen_variants(on_gpu=False) == own
    assert request.chosen_variants(on_gpu=True) == (*own, "torch-graph", "fused-graph")
    with_peer = bench.command.StepRequest(peer=tmp_path, variants=("fused", "peer", "fused"))
    assert with_peer.chosen_variants(on_gpu=False) == ("fused", "peer")
    graphed = bench.command.StepRequest(variants=("fused-graph",))
    with pytest.raises(UsageError, match="fused-graph is a CUDA graph, which needs a GPU"):
        graphed.chosen_variants(on_gpu=False)


def test_the_tiny_preset_is_the_searchs(bench):
    request = bench.command.StepRequest(preset="tiny", device="cpu")
    (setting,) = request.settings()
    assert setting.space == SearchSpace.load("autodeeplab", preset="tiny")
    assert (setting.crop, setting.batch_size, setting.num_classes) == (64, 8, 12)
    assert request.chosen_variants(on_gpu=False) == ("torch",)
