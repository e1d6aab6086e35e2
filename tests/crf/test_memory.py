"""The estimate of memory against what is really allocated, and the refusal."""

import math
import re
import sys
from pathlib import Path

import pytest
import torch

from autoseg.crf import BilateralKernel, CRFConfig, DenseCRF, memory, memory_left
from autoseg.crf.memory import check_memory, least_bytes
from autoseg.crf.memory_left import available_bytes
from autoseg.errors import UsageError
from tests.crf.reference import SETTINGS, scene
from tests.fresh_process import printed_by

MEASURE = """
import pathlib, re, torch
from autoseg.crf import DenseCRF
mode, needs_gradient = {arguments}
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
    taken = int(printed_by(MEASURE.format(arguments=(mode, needs_gradient))))

    estimate = least_bytes(
        (1, 12, 250, 250),
        dtype=torch.float32,
        settings=CRFConfig(mode=mode, num_iterations=4),
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
            settings=CRFConfig(mode=mode),
            needs_gradient=False,
            implementation=kernels,
            in_one_call=True,
        )
        for mode, kernels in (("fast", "triton"), ("exact", "triton"), ("fast", "native"))
    )
    num_pixels = 50 * 60
    values = 12 * num_pixels * 4
    assert exact == 3 * values + values  # two results, one tensor of both, and one in rows
    assert fast == exact + num_pixels * 6 * (3 * 8 + 5 * 4)
    assert native == 3 * values + num_pixels * (8 * 4 + 4)


def test_lattices_are_counted_one_by_one():
    one = CRFConfig()
    two = CRFConfig(additional_kernels=[BilateralKernel(weight=1.0, xy_std=9.0, rgb_std=5.0)])
    for implementation, in_one_call, each in (
        ("torch", False, 6 * 2 * (4 + 4)),
        ("native", False, 36),
        ("native", True, 36),
        ("triton", True, 6 * 5 * 4),
    ):
        first, second = (
            least_bytes(
                (1, 2, 50, 60),
                dtype=torch.float32,
                settings=settings,
                needs_gradient=False,
                implementation=implementation,
                in_one_call=in_one_call,
            )
            for settings in (one, two)
        )
        assert second - first == 50 * 60 * each


def test_the_memory_left_is_that_of_the_system(tmp_path, monkeypatch):
    info = tmp_path / "meminfo"
    info.write_text("MemTotal:  9 kB\nMemFree:  3 kB\nMemAvailable:    5 kB\nCached:  2 kB\n")
    monkeypatch.setattr(memory_left, "_MEMORY_INFO", info)
    monkeypatch.setattr(memory_left, "_OWN_GROUPS", tmp_path / "no groups")

    assert available_bytes(torch.device("cpu")) == 5 * 1024

    monkeypatch.setattr(memory_left, "_MEMORY_INFO", tmp_path / "missing")
    assert available_bytes(torch.device("cpu")) is None
    check_memory(
        int(math.pow(2, 60)), torch.device("cpu"), needs_gradient=False
    )  # not known: tried


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_a_container_has_what_its_group_may_still_take(tmp_path, monkeypatch):
    write(tmp_path, meminfo="MemAvailable: 50 kB", cgroup="0::/job/step\n4:cpu,memory:/old")
    write(tmp_path / "job/step", memory__max="max", memory__current=1, memory__stat="")
    monkeypatch.setattr(memory_left, "_MEMORY_INFO", tmp_path / "meminfo")
    monkeypatch.setattr(memory_left, "_OWN_GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory_left, "_GROUPS", tmp_path)

    def left() -> int | None:
        memory_left._limited_groups.cache_clear()
        return available_bytes(torch.device("cpu"))

    assert left() == 50 * 1024
    # The limit of a group holds for those inside it. Cached files give way.
    statistics = "anon 9000\ninactive_file 3000\n"
    write(tmp_path / "job", memory__max=30000, memory__current=12000, memory__stat=statistics)
    assert left() == 30000 - (12000 - 3000)
    old = {"memory__limit_in_bytes": 20000, "memory__usage_in_bytes": 12000}
    write(tmp_path / "memory/old", **old, memory__stat="total_inactive_file 2500\n")
    assert left() == 20000 - (12000 - 2500)
    write(tmp_path / "memory/old", memory__limit_in_bytes=9223372036854771712)
    assert left() == 30000 - (12000 - 3000)
    write(tmp_path / "job", memory__current=99000)
    assert left() == 0
