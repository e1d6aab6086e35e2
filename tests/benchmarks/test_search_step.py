"""The command that benchmarks the search step: requests, processes, and what it writes."""

import csv
import json

import pytest

from autoseg.architecture import SearchSpace
from autoseg.errors import UsageError
from tests.benchmarks.search_settings import small_setting

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
@pytest.mark.usefixtures("forked_variants")
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


@pytest.mark.nightly  # 8 s, for one option of a benchmark; its process starts from nothing
def test_a_profile_names_the_operators(bench, tmp_path, capsys):
    assert bench.command.main(arguments(tmp_path, "--profile", "torch")) == 0
    text = (tmp_path / "out" / "profile-torch-crop32.txt").read_text()
    assert "convolution_backward" in text and "Self CPU" in text
    assert text in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("forked_variants")
def test_what_fails_is_a_result(bench, tmp_path):
    broken = small_setting(bench, peer=tmp_path)  # no auto_deeplab.py
    with pytest.raises(bench.worker.Unavailable, match="No module named 'auto_deeplab'"):
        bench.worker.VariantProcess(broken, "peer")
    with bench.worker.VariantProcess(small_setting(bench), "torch") as process:
        process._process.kill()
        with pytest.raises(bench.worker.Unavailable, match=r"code -9, killed: too little memory"):
            process.step()


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


class Stopped(Exception):
    """What stops a call between two measurements."""


@pytest.fixture
def measured(bench, monkeypatch):
    """Measurements that take no time, in the order in which they were asked for; a step of a
    variant takes as many milliseconds as `step_ms` says, and None stops the call."""
    step_ms = {"torch": 8.0, "reference": 24.0}
    asked = []

    def measure(setting, variants, *, num_repeats, progress):
        asked.append((setting.crop, *variants))
        if any(step_ms[variant] is None for variant in variants):
            raise Stopped
        times = bench.setting.StepTime
        return [
            bench.setting.Measurement(
                setting=setting,
                variant=variant,
                times=(times(step_ms=step_ms[variant], weight_ms=3.0, arch_ms=5.0),),
                memory_mib=step_ms[variant],
            )
            for variant in variants
        ]

    rates = iter((10.0, 20.0, 30.0))
    monkeypatch.setattr(bench.command, "measure_setting", measure)
    monkeypatch.setattr(
        bench.command,
        "measure_ceilings_apart",
        lambda setting: bench.work.Ceilings(gflop_per_s=next(rates), gb_per_s=1e9),
    )
    monkeypatch.setattr(bench.command, "_draw", lambda *given: [])
    return bench.command.main, step_ms, asked


def rows_in(tmp_path):
    with (tmp_path / "out" / "search_step.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_variant_is_written_when_it_is_known_and_not_measured_again(measured, tmp_path):
    main, step_ms, asked = measured
    given = arguments(tmp_path, "--variants", "torch", "reference", "--no-interleaved")
    step_ms["reference"] = None
    with pytest.raises(Stopped):
        main(given)
    (row,) = rows_in(tmp_path)
    assert (row["variant"], row["speedup_reference_min"]) == ("torch", "")
    first = json.loads((tmp_path / "out" / "search_step.json").read_text())

    step_ms.update(torch=None, reference=24.0)
    assert main(given) == 0
    assert asked == [(32, "torch"), (32, "reference"), (32, "reference")]
    own, reference = rows_in(tmp_path)
    # 24 / 8, of the time and of the memory, across the two calls.
    assert float(own["speedup_reference_min"]) == float(own["memory_reference"]) == 3
    assert float(own["speedup_reference_median"]) == 3
    record = json.loads((tmp_path / "out" / "search_step.json").read_text())
    assert record["ceilings"] == first["ceilings"] == {"gflop_per_s": 10.0, "gb_per_s": 1e9}
    assert record["date"] == first["date"]
    assert own["floor_ms"] == reference["floor_ms"]
    assert float(own["gflop"]) == pytest.approx(10 * float(own["floor_ms"]) / 1000)


def test_variants_that_take_turns_are_written_together(measured, tmp_path, monkeypatch, bench):
    main, _, asked = measured
    given = arguments(tmp_path, "--variants", "torch", "reference", "--crop", "32", "64")
    whole = bench.command.measure_setting

    def stops_at_64(setting, variants, **more):
        if setting.crop == 64 and len(asked) < 2:
            asked.append("stopped")
            raise Stopped
        return whole(setting, variants, **more)

    monkeypatch.setattr(bench.command, "measure_setting", stops_at_64)
    with pytest.raises(Stopped):
        main(given)
    assert [(row["crop"], row["variant"]) for row in rows_in(tmp_path)] == [
        ("32", "torch"),
        ("32", "reference"),
    ]
    assert rows_in(tmp_path)[0]["speedup_reference_min"] == "3.0"
    assert main(given) == 0
    assert asked == [(32, "torch", "reference"), "stopped", (64, "torch", "reference")]
    assert [row["crop"] for row in rows_in(tmp_path)] == ["32", "32", "64", "64"]


@pytest.mark.parametrize("change", ["command", "commit"])
def test_rows_of_another_call_are_measured_anew(change, measured, tmp_path, capsys):
    main, step_ms, asked = measured
    given = arguments(tmp_path, "--variants", "torch")
    assert main(given) == 0
    record = tmp_path / "out" / "search_step.json"
    if change == "command":
        given += ["--batch-size", "2"]  # the default, but said
    else:
        kept = json.loads(record.read_text())
        record.write_text(json.dumps(kept | {"git": {"commit": "0" * 40, "dirty": False}}))
    step_ms["torch"] = 7.0
    assert main(given) == 0
    assert asked == [(32, "torch")] * 2
    assert [float(row["step_min_ms"]) for row in rows_in(tmp_path)] == [7]
    assert json.loads(record.read_text())["ceilings"]["gflop_per_s"] == 20
    assert f"begins anew: {record} is of another command" in capsys.readouterr().err
