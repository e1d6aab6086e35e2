"""The largest batch of a network, against memories and clocks whose answer is known."""

import io
from dataclasses import replace

import pytest
import torch

from autoseg.commands.compare import _latency_text
from autoseg.comparison import Comparison, group_networks
from autoseg.comparison import offline as offline_module
from autoseg.comparison import timing as timing_module
from autoseg.comparison.documents import comparison_latex, comparison_markdown, offline_tables
from autoseg.comparison.offline import Offline, measure_offline
from autoseg.comparison.report import comparison_page
from autoseg.comparison.timing import Stages
from autoseg.cost import Latency
from autoseg.errors import UsageError
from autoseg.requests import CompareRequest
from autoseg.runs import Progress
from tests.comparison.rows import network
from tests.comparison.test_measuring import ONCE, measure, subject

CPU = torch.device("cpu")
OFFLINE = replace(ONCE, has_offline=True)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """A memory of which each image takes 1 MiB, and no walk of Python's collector over all."""
    monkeypatch.setattr("gc.collect", lambda: 0)
    for module in (offline_module, timing_module):
        monkeypatch.setattr(module, "memory_of", lambda function, **_: float(len(function())))


def next_class(logits, colours):
    """Play a CRF, one that gives each pixel the class after its own."""
    assert len(logits) == len(colours)
    return logits.roll(1, dims=1)


def small():
    """A subject whose network is one convolution."""
    torch.manual_seed(0)
    return replace(subject(num_images=0), network=torch.nn.Conv2d(3, 4, 3, padding=1).eval())


def made(crf=None):
    return Stages(small(), crf=crf, device=CPU)


def test_batches_are_tried_until_the_memory_of_a_device_runs_out():
    stages = made()
    for capacity in (0, 1, 5, 12):
        waits = []

        def step(num_images, capacity=capacity):
            images = stages.repeated(num_images)._images
            if len(images) > capacity:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return images

        def run(step=step, waits=waits):
            return offline_module.largest_batch(
                lambda n: offline_module._try_batch(step, lambda: waits.append(1) or 0.0, n),
                smallest=1,
                largest=1024,
            )

        assert run() == (capacity or None)
        assert bool(waits) == (capacity > 0)  # the device has done its work before it is believed


def test_the_row_holds_images_by_time_and_the_classes_of_one_image(monkeypatch):
    monkeypatch.setattr(offline_module, "_LARGEST_OF_CPU", 3)
    monkeypatch.setattr(offline_module, "_seconds", lambda *_: 1.0)  # twice as many in that time
    stages = made(next_class)
    for has_crf, alone in ((False, stages.alone), (True, stages.refined)):
        found = measure_offline(stages, has_crf=has_crf, device=CPU, timing=ONCE)
        assert isinstance(found, Offline) and found.batch == 2  # doubled once below 3
        row = found.fields
        seconds = row["offline_latency_median_ms"] / 1000
        assert row["offline_images_per_second"] * seconds == pytest.approx(2)
        assert found.memory_mib == 2
        with torch.inference_mode():
            given = stages.repeated(2)
            batch = given.refined() if has_crf else given.alone()
            assert batch.shape == (2, 32, 48)
            assert all(each.equal(alone()[0]) for each in batch)
            assert batch.equal((given.alone() + has_crf) % 4)


def test_a_batch_that_gives_other_classes_than_one_image_has_no_numbers(monkeypatch):
    monkeypatch.setattr(offline_module, "_find_batch", lambda *_: 2)
    given = small()
    given.network.register_forward_hook(
        lambda _, inputs, logits: -logits if len(inputs[0]) > 1 else None
    )
    found = measure_offline(
        Stages(given, crf=None, device=CPU), has_crf=False, device=CPU, timing=ONCE
    )
    assert isinstance(found, str) and "another class than alone" in found


def test_memory_that_holds_no_image_is_told(monkeypatch):
    monkeypatch.setattr(offline_module, "free_memory_mib", lambda: 0.0)
    found = measure_offline(made(), has_crf=False, device=CPU, timing=ONCE)
    assert found == "one image does not fit into the memory."


def test_tables_show_what_was_found_and_rows_of_one_stream_are_as_before(monkeypatch):
    monkeypatch.setattr(offline_module, "_LARGEST_OF_CPU", 1)
    measured = measure(
        small(),
        device=CPU,
        crf=None,
        crf_text="",
        timing=OFFLINE,
        progress=Progress(1, description="x", stream=io.StringIO()),
    )
    assert measured.rows[0].offline_batch == measured.rows[0].offline_memory_mib == 1
    times = ("median_ms", "p90_ms", "p99_ms", "cold_ms", "median_low_ms", "median_high_ms")
    drifted = Latency(
        **dict.fromkeys(times, 500.0),
        num_runs=5,
        quantiles_ms=(),
        warm_up_runs=1,
        is_stable=True,
        device="cpu",
        num_threads=2,
        drift="the machine's speed changed",
    )
    fields = Offline(batch=8, latency=drifted, memory_mib=12.5).fields
    assert fields["offline_images_per_second"] == 16  # eight in half a second
    assert not fields["is_offline_latency_settled"]
    given = [
        network(**fields),
        network(label="c"),
        network(label="b", processor="another", **fields),
    ]
    (group,) = group_networks(given)
    here, there = offline_tables(group)
    assert [record["name"] for record in here.records] == ["icnet_resnet50"]
    assert here.caption.startswith("Offline, on some processor")
    assert there.caption.startswith("Offline, on another")
    seen = {record["label"]: record["offline_images_per_second"] for record in group.records}
    assert seen == {"icnet_resnet50": 16, "c": None, "b": None}  # b is of another machine
    comparison = Comparison(groups=(group,), left_out=(), protocol={})
    for text in (comparison_markdown(comparison), comparison_latex(comparison)):
        assert "Images a second" in text and "unsettled" in text
    assert "Images a second" in comparison_page(comparison)
    (bare,) = group_networks([network()])
    assert offline_tables(bare) == []
    bare_page = comparison_page(Comparison(groups=(bare,), left_out=(), protocol={}))
    assert "Images a second" not in bare_page


def test_one_stream_is_always_measured_and_of_one_image():
    with pytest.raises(UsageError, match="single-stream offline"):
        CompareRequest(scenario=("offline",))
    with pytest.raises(UsageError, match="--batch 4: offline finds its own batch"):
        CompareRequest(scenario=("single-stream", "offline"), batch=4)


def test_the_protocol_names_the_scenarios_that_were_measured():
    one, four = CompareRequest(), CompareRequest(batch=4, size=(64, 96))
    both = CompareRequest(scenario=("single-stream", "offline"))
    assert _latency_text(one).startswith("single-stream, one image a call, warmed up, at least 20")
    assert _latency_text(four).startswith("4 images a call at 64 x 96, warmed up, at least 20 runs")
    assert _latency_text(both).removeprefix(_latency_text(one)).startswith("; offline, copies of")
