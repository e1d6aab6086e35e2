"""The estimate of memory against what is really allocated, and the refusal."""

import math
import re
import subprocess
import sys

import pytest
import torch

from autoseg.crf import CRFSettings, DenseCRF, memory
from autoseg.crf.memory import available_bytes, check_memory, least_bytes
from autoseg.errors import UsageError
from tests.crf.reference import SETTINGS, scene

MEASURE = """
import pathlib, re, sys, torch
from autoseg.crf import DenseCRF
mode, needs_gradient = sys.argv[1], sys.argv[2] == "True"
logits, image = torch.randn(1, 12, 250, 250), torch.zeros(1, 3, 250, 250, dtype=torch.uint8)
crf = DenseCRF(num_iterations=4, mode=mode, backend="torch")
crf(logits[..., :4, :4], image[..., :4, :4])
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
before = peak()
with torch.set_grad_enabled(needs_gradient):
    marginals = crf(logits, image)
print((peak() - before) * 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("mode", ["fast", "local"])
@pytest.mark.parametrize("needs_gradient", [False, True])
def test_no_more_is_asked_for_than_inference_takes(mode, needs_gradient):
    command = [sys.executable, "-c", MEASURE, mode, str(needs_gradient)]
    taken = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)

    estimate = least_bytes(
        (1, 12, 250, 250),
        dtype=torch.float32,
        settings=CRFSettings(mode=mode, num_iterations=4),
        needs_gradient=needs_gradient,
    )

    # A page or two may be left over from before; and an estimate of nothing would be useless.
    assert taken / 4 < estimate < taken + 2**20


def test_what_cannot_fit_is_refused_before_it_is_tried(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 2**30)
    logits, image = scene(3, (4, 5))
    crf = DenseCRF(**SETTINGS, backend="torch")
    crf(logits, image)
    huge = torch.zeros(1, 1, 1, 1).expand(1, 21, 4000, 4000)  # one number
    pixels = torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(1, 3, 4000, 4000)

    for needs_gradient, values in ((False, 4), (True, 4 + 3)):
        needed = 21 * 4000**2 * 4 * values + 4000**2 * 6 * (24 + 16)
        message = f"needs at least {needed / 2**30:.2f} GiB and cpu has 1.00 GiB left; use "
        with (
            torch.set_grad_enabled(needs_gradient),
            pytest.raises(UsageError, match=re.escape(message)) as caught,
        ):
            crf(huge, pixels)
        assert ("torch.no_grad()" in str(caught.value)) == needs_gradient


def test_the_triton_kernels_need_their_tables_at_least():
    shape = (2, 12, 50, 60)
    fast, exact, native = (
        least_bytes(
            shape,
            dtype=torch.float32,
            settings=CRFSettings(mode=mode),
            needs_gradient=False,
            in_one_call=kernels,
        )
        for mode, kernels in (("fast", "triton"), ("exact", "triton"), ("fast", "native"))
    )
    values = 12 * 50 * 60 * 4
    assert native == 3 * values  # two results, and one tensor of both
    assert exact == native + values
    assert fast == exact + 50 * 60 * 6 * 3 * 8


def test_the_memory_left_is_that_of_the_system(tmp_path, monkeypatch):
    info = tmp_path / "meminfo"
    info.write_text("MemTotal:  9 kB\nMemFree:  3 kB\nMemAvailable:    5 kB\nCached:  2 kB\n")
    monkeypatch.setattr(memory, "_MEMORY_INFO", info)

    assert available_bytes(torch.device("cpu")) == 5 * 1024

    monkeypatch.setattr(memory, "_MEMORY_INFO", tmp_path / "missing")
    assert available_bytes(torch.device("cpu")) is None
    check_memory(
        int(math.pow(2, 60)), torch.device("cpu"), needs_gradient=False
    )  # not known: tried
