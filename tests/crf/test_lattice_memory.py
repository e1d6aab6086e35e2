"""Memory of lattices: counted as it is taken, and refused before there is too much of it.

Sizes are compared with what the C library gave out and with the number of points, not with the
process's size, which depends on what ran before.
"""

import ctypes
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from autoseg._native import core
from autoseg.crf import DenseCRF, memory
from autoseg.crf.memory import allowed_bytes
from autoseg.crf.native import NativePermutohedralFilter
from autoseg.crf.permutohedral import PermutohedralFilter
from autoseg.errors import UsageError

MODULE: Any = core()
needs_kernels = pytest.mark.skipif(MODULE is None, reason="the compiled kernels are missing")
MIB = 2**20


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Give back what earlier calls left for later ones; one thread, or two may want the last."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    if MODULE is not None:
        MODULE.crf_release()
    yield
    torch.set_num_threads(threads)


def noise(height: int, width: int) -> tuple[Tensor, Tensor]:
    """Logits, and an image of which each pixel has a simplex of its own: the largest lattice."""
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(256, (1, 3, height, width), dtype=torch.uint8, generator=generator)
    return torch.randn(1, 2, height, width, generator=generator), image


def flat(height: int, width: int) -> tuple[Tensor, Tensor]:
    """The same logits, and an image of one colour."""
    logits, image = noise(height, width)
    return logits, torch.full_like(image, 90)


def features_of(image: Tensor) -> Tensor:
    """Positions and colours over the default deviations, (P, 5)."""
    height, width = image.shape[2:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    positions = torch.stack([columns, rows]).flatten(1).t().double() / 67
    return torch.cat([positions, image[0].flatten(1).t().double() / 3], dim=1)


def infer(logits: Tensor, image: Tensor, backend: str, mode: str = "fast") -> Tensor:
    return DenseCRF(num_iterations=1, mode=mode, backend=backend)(logits, image).detach()


@pytest.mark.parametrize("mode", ["fast", "accurate"])
@pytest.mark.parametrize("needs_gradient", [False, True])
@pytest.mark.parametrize("backend", [pytest.param("fused", marks=needs_kernels), "torch"])
def test_a_lattice_that_cannot_fit_is_refused_and_one_that_can_is_not(
    backend, needs_gradient, mode, monkeypatch
):
    limit = 16 * MIB  # a third of what noise takes, or less
    size = (200, 220) if mode == "fast" else (90, 110)
    monkeypatch.setattr(memory, "_NEGLIGIBLE", 2**18)
    monkeypatch.setattr(memory, "available_bytes", lambda device: limit)
    message = (
        r"DenseCRF: the lattice over this image's positions and colours needs at least "
        rf"\d\.\d\d GiB and cpu has {limit / 2**30:.2f} GiB left; the more colours differ from "
        "pixel to pixel, the more it needs. Use images and logits at half the size, a larger "
        "bilateral_rgb_std, or an image with less noise."
    )
    with torch.set_grad_enabled(needs_gradient):
        with pytest.raises(UsageError, match=message):
            infer(*noise(*size), backend, mode)

        infer(*flat(*size), backend, mode)


@needs_kernels
@pytest.mark.parametrize(("mode", "size"), [("fast", (90, 100)), ("accurate", (50, 60))])
def test_the_limit_is_what_is_counted_and_nothing_more_is_taken(mode, size, monkeypatch):
    logits, image = noise(*size)
    with torch.no_grad():
        before, _ = MODULE.crf_memory()  # other threads may keep something
        expected = infer(logits, image, "fused", mode)
        taken = MODULE.crf_memory()[1] - before
        monkeypatch.setattr(memory, "_NEGLIGIBLE", 0)

        for limit in (taken, taken - 1, taken // 4):
            MODULE.crf_release()
            monkeypatch.setattr(memory, "available_bytes", lambda device, left=limit: left)
            if limit == taken:
                assert torch.equal(infer(logits, image, "fused", mode), expected)
                continue
            with pytest.raises(UsageError, match="needs at least"):
                infer(logits, image, "fused", mode)
            held, peak = MODULE.crf_memory()
            assert peak - before <= limit
            assert held <= peak

        # What was refused leaves nothing behind that a later call trips over.
        monkeypatch.undo()
        assert torch.equal(infer(logits, image, "fused", mode), expected)


@needs_kernels
@pytest.mark.parametrize(("mode", "size"), [("fast", (200, 220)), ("accurate", (90, 110))])
def test_more_is_counted_than_points_and_pixels_hold(mode, size):
    logits, image = noise(*size)
    lattice = PermutohedralFilter(
        features_of(image), dtype=torch.float32, closed=mode == "accurate"
    )
    assert lattice.num_points > 5 * image[0, 0].numel()  # noise: hardly two pixels share a point

    before, _ = MODULE.crf_memory()
    with torch.no_grad():
        infer(logits, image, "fused", mode)

    # Two tables with a row of 8 numbers for each point; 36 bytes for each pixel.
    least = lattice.num_points * 2 * 8 * 4 + image[0, 0].numel() * 36
    peak = MODULE.crf_memory()[1] - before
    assert least < peak < 4 * least
    # And what is not asked about, because it is negligible, is no more than it is taken for.
    points = image[0, 0].numel() * memory._MOST_POINTS[mode]
    assert lattice.num_points <= points
    assert peak < points * (2 * 8 * 4 + memory._POINT)


class Allocations(ctypes.Structure):
    """struct mallinfo2 of the GNU C library."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks"),
            *("fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def allocated_bytes() -> int:
    """Return what the C library has given out and did not get back."""
    mallinfo2 = ctypes.CDLL(None).mallinfo2
    mallinfo2.restype = Allocations
    found = mallinfo2()
    return found.uordblks + found.hblkhd


@pytest.fixture
def exact_allocations() -> Iterator[None]:
    """Have no block mapped on its own: its size would be rounded up by its alignment, twice."""
    library = ctypes.CDLL(None)
    if not sys.platform.startswith("linux") or not hasattr(library, "mallinfo2"):
        pytest.skip("asks the GNU C library")
    m_mmap_max, default = -4, 65536
    library.mallopt(m_mmap_max, 0)
    yield
    library.mallopt(m_mmap_max, default)


@needs_kernels
@pytest.mark.usefixtures("exact_allocations")
@pytest.mark.parametrize("closed", [False, True])
def test_what_is_counted_is_what_the_c_library_gave_out(closed):
    features = features_of(noise(150, 170)[1])
    NativePermutohedralFilter(features[:64], closed, torch.float32)  # whatever the first call makes
    MODULE.crf_release()
    given, counted = allocated_bytes(), MODULE.crf_memory()[0]

    lattice = NativePermutohedralFilter(features, closed, torch.float32)
    while_it_lives = allocated_bytes() - given, MODULE.crf_memory()[0] - counted
    del lattice
    MODULE.crf_release()
    afterwards = allocated_bytes() - given, MODULE.crf_memory()[0] - counted

    # Rows of pixels, and objects of a few bytes each, are not counted.
    assert while_it_lives[1] > 10 * MIB
    assert abs(while_it_lives[0] - while_it_lives[1]) < 0.01 * while_it_lives[1] + MIB / 4
    assert afterwards[1] == 0
    assert abs(afterwards[0]) < MIB / 4


@needs_kernels
def test_what_lattices_took_is_given_back_where_it_is_much():
    before, _ = MODULE.crf_memory()
    with torch.no_grad():
        infer(*noise(900, 1000), "fused")
    held, peak = MODULE.crf_memory()
    assert peak - before > 512 * MIB
    # The scores' memory is kept up to 256 MiB (crf.cpp: kMostToKeep), and 16 blocks of each power
    # of two up to 4 MiB, 128 MiB together, may wait for the next call.
    assert held - before < (256 + 128) * MIB
    MODULE.crf_release()
    assert MODULE.crf_memory()[0] == before


def test_memory_is_not_asked_about_for_small_images(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda device: 0)
    assert allowed_bytes(64 * 64, 21, mode="fast") == sys.maxsize
    assert allowed_bytes(500 * 375, 21, mode="fast") == 0
    monkeypatch.setattr(memory, "available_bytes", lambda device: None)
    assert allowed_bytes(500 * 375, 21, mode="fast") == sys.maxsize


def test_plain_operators_ask_before_they_build_and_before_they_filter(monkeypatch):
    features = features_of(noise(30, 40)[1])
    open_points = PermutohedralFilter(features, dtype=torch.float32).num_points
    lattice = PermutohedralFilter(features, dtype=torch.float32, closed=True)
    # Neighbours, all of them in one list, and that list sorted.
    closing = 8 * (3 * 2 * 6 * open_points + 2 * open_points)
    # Three entries a point and axis: an index and a number, and where they begin.
    blurs = 6 * lattice.num_points * (3 * (4 + 4) + 4)
    tables = 2 * lattice.num_points * 50 * 4
    assert closing < blurs < tables
    monkeypatch.setattr(memory, "_NEGLIGIBLE", 0)
    monkeypatch.setattr(memory, "_GIB", 1)  # so that the message has bytes

    def build_and_filter(limit: int) -> Tensor:
        monkeypatch.setattr(memory, "available_bytes", lambda device: limit)
        lattice = PermutohedralFilter(features, dtype=torch.float32, closed=True)
        return lattice.product(torch.ones(len(features), 50))

    for limit, needed in (
        (closing - 1, closing),
        (closing, blurs),
        (blurs - 1, blurs),
        (blurs, tables),
        (tables - 1, tables),
    ):
        with pytest.raises(UsageError, match=rf"at least {needed}\.00 GiB and cpu has {limit}\."):
            build_and_filter(limit)
    build_and_filter(tables)
