"""Forms are timed beside plain torch, once each, and the table says which is the fastest."""

import importlib
import json
from functools import partial
from pathlib import Path

import pytest

from autoseg.errors import UsageError
from autoseg.export import FormError


@pytest.fixture
def forms(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    module = importlib.import_module("forms")
    # Without waiting for times that settle, whatever else the machine does.
    at_once = partial(module.measure_in_rounds, max_warm_up_seconds=0.0, max_drift=1e9)
    monkeypatch.setattr(module, "measure_in_rounds", at_once)
    return module


def test_a_call_goes_on_where_another_ended(forms, tmp_path, capsys, monkeypatch):
    tmp_path = tmp_path / "not" / "there"
    sizes = ["--size", "32", "48", "--width", "0.125", "--threads", "1", "--min-seconds", "0"]
    arguments = [*sizes, "--min-runs", "2", "--forms", "channels-last", "--out", str(tmp_path)]
    assert forms.main([*arguments, "--networks", "icnet_resnet50"]) == 0
    record = json.loads((tmp_path / "forms.json").read_text())
    eager, other = record["rows"]
    assert (eager["form"], other["form"], eager["speed_up"]) == ("eager", "channels-last", 1.0)
    assert other["speed_up"] == eager["median_ms"] / other["median_ms"]
    assert other["memory_format"] == "channels-last" and other["logits_error"] < 1e-4
    monkeypatch.setattr(forms, "measure", None)  # nothing is measured again
    assert forms.main([*arguments, "--networks", "icnet_resnet50"]) == 0
    assert json.loads((tmp_path / "forms.json").read_text())["rows"] == record["rows"]
    assert "## 32 x 48, 1 thread(s), " in capsys.readouterr().out


def test_a_form_that_fails_while_it_is_timed_is_left_out(forms, tmp_path, capsys, monkeypatch):
    class Failing(forms.Stages):
        def alone(self):
            if self.form.memory_format == "channels-last":
                raise FormError("no kernel")
            return super().alone()

    monkeypatch.setattr(forms, "Stages", Failing)
    arguments = ["--size", "32", "48", "--width", "0.125", "--threads", "1", "--min-seconds", "0"]
    arguments += ["--min-runs", "1", "--networks", "icnet_resnet50", "--out", str(tmp_path)]
    assert forms.main([*arguments, "--forms", "channels-last", "bfloat16"]) == 0
    rows = json.loads((tmp_path / "forms.json").read_text())["rows"]
    assert [row["form"] for row in rows] == ["eager", "bfloat16"]
    assert all(row["memory_mib"] > 0 for row in rows)
    assert "icnet_resnet50: left out: no kernel" in capsys.readouterr().err


def row(form, speed_up, *, fault=None, drift=None):
    return {
        "network": "a",
        "width": 1.0,
        "height": 4,
        "image_width": 6,
        "threads": 1,
        "clock": "wall",
        "processor": "p",
        "macs": 10**9,
        "peak_gmacs_per_s": 30.0,
        "median_ms": 50 / speed_up,
        "form": form,
        "speed_up": speed_up,
        "form_fault": fault,
        "drift": drift,
    }


def test_the_fastest_is_one_that_is_valid(forms):
    rows = [row("eager", 1.0), row("onnxruntime", 2.0), row("folded", 3.0, fault="differs")]
    text = forms.report(rows)
    assert "- a: onnxruntime, 2.00 times as fast as eager, which does 20.0 G MACs a second" in text
    assert "at the 30.0 of a convolution alone it would be 1.50 times as fast" in text
    assert "differs" in text
    rows[1]["drift"] = "it was warm"
    assert "not to be trusted, the machine's speed changed" in forms.report(rows)


def test_processor_time_of_several_threads_is_refused(forms):
    with pytest.raises(UsageError, match=r"--clock processor adds up all threads"):
        forms.FormsRequest(clock="processor", threads=2)
