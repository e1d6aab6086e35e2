"""Resident memory that is known to the MiB."""

import ctypes
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from autoseg.cost import PeakMemory, measure_resident_peak, resident
from tests.fresh_process import CONTEXT

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux tells the peak"
)


def test_the_peak_is_what_was_held_at_once():
    if sys.platform == "linux":  # or memory that other tests freed goes back in between
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    peaks = []
    for _ in range(3):  # what other threads of the process hold meanwhile only adds
        memory = PeakMemory("cpu")
        for _ in range(2):
            torch.ones(2**26, dtype=torch.uint8)  # 64 MiB, freed again
        peaks.append(memory.read_mib())
    assert min(peaks) == pytest.approx(64, abs=6)


def test_a_new_process_holds_what_the_function_takes_and_not_what_it_has(monkeypatch):
    monkeypatch.setattr(resident.multiprocessing, "get_context", lambda method: CONTEXT)
    maps = torch.ones(2**25, dtype=torch.uint8)  # 32 MiB
    assert measure_resident_peak(partial(torch.cat, [maps, maps])) == pytest.approx(64, abs=6)
    with pytest.raises(TypeError, match="expected Tensor as element 0"):
        measure_resident_peak(partial(torch.cat, [1]))


class Loaded:
    """Frees most of what it needs to be loaded, in blocks that malloc keeps."""

    def __init__(self):
        self.state = "some"

    def __setstate__(self, state):
        blocks = [b"x" * 2**16 for _ in range(512)]  # 32 MiB
        self.kept = blocks[-1]

    def __call__(self):
        return [b"y" * 2**16 for _ in range(512)]


def test_what_loading_left_free_counts_again(monkeypatch):
    monkeypatch.setattr(resident.multiprocessing, "get_context", lambda method: CONTEXT)
    assert measure_resident_peak(Loaded()) == pytest.approx(32, abs=6)
