"""Peaks that are known to the byte."""

import pytest
import torch
from torch import nn

from autoseg.cost import measure_peak_memory
from autoseg.cost.memory import peak_of_changes

MIB = 2**20


def test_three_tensors_at_once() -> None:
    x = torch.zeros(1000)

    def function() -> torch.Tensor:
        y = x.clone()
        z = torch.add(y, y)
        return torch.add(z, y)

    # y, z and the result, float32; x was there before. The CPU allocator is asked for exactly the
    # bytes of each tensor.
    assert measure_peak_memory(function, device="cpu") * MIB == 3 * 4000


def test_a_freed_tensor_makes_room() -> None:
    x = torch.zeros(1000)

    def function() -> torch.Tensor:
        y = x.clone()
        z = torch.add(y, y)
        del y
        return torch.add(z, z)

    assert measure_peak_memory(function, device="cpu") * MIB == 2 * 4000


def test_a_peak_in_the_middle_is_found() -> None:
    def function() -> torch.Tensor:
        torch.empty(10 * MIB, dtype=torch.uint8)
        return torch.empty(5)

    assert measure_peak_memory(function, device="cpu") == 10


def test_freeing_what_was_there_before_gives_no_credit() -> None:
    held = [torch.empty(MIB, dtype=torch.uint8) for _ in range(2)]

    def function() -> torch.Tensor:
        if held:
            held.pop()
        return torch.empty(MIB, dtype=torch.uint8)

    assert measure_peak_memory(function, device="cpu") == 1


def test_a_network_holds_input_and_output_of_its_largest_layer() -> None:
    # ReLU of one activation: the old map and the new one. Under inference mode nothing is kept.
    network = nn.Sequential(*(nn.ReLU() for _ in range(5))).eval()
    images = torch.zeros(1, 3, 32, 64)
    one_map = 3 * 32 * 64 * 4

    def function() -> torch.Tensor:
        with torch.inference_mode():
            return network(images)

    assert measure_peak_memory(function, device="cpu") * MIB == 2 * one_map


def test_operators_own_work_space_counts() -> None:
    # An atrous convolution in float64, which oneDNN does not know, gathers its windows into columns
    # first: 3 channels x 9 taps for each of the 8 x 12 outputs.
    convolution = nn.Conv2d(3, 4, 3, padding=2, dilation=2).double().requires_grad_(False)
    images = torch.zeros(1, 3, 8, 12, dtype=torch.float64)
    columns, result = 3 * 9 * 8 * 12, 4 * 8 * 12
    peak = measure_peak_memory(lambda: convolution(images), device="cpu")
    assert peak * MIB == 8 * (columns + result)


def test_the_function_runs_twice_and_the_first_time_is_not_measured() -> None:
    calls = []

    def function() -> torch.Tensor:
        calls.append(1)
        return torch.empty(MIB if len(calls) == 2 else 7 * MIB, dtype=torch.uint8)

    assert measure_peak_memory(function, device="cpu") == 1
    assert len(calls) == 2


def test_nothing_is_written_to_the_screen(capfd: pytest.CaptureFixture[str]) -> None:
    measure_peak_memory(lambda: torch.zeros(3), device="cpu")
    assert capfd.readouterr() == ("", "")


def test_an_error_of_the_function_comes_through() -> None:
    calls = []

    def function() -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyError("from the function")

    with pytest.raises(KeyError, match="from the function"):
        measure_peak_memory(function, device="cpu")
    # The profiler was stopped: it can be started again.
    assert measure_peak_memory(lambda: torch.empty(MIB, dtype=torch.int8), device="cpu") == 1


def test_blocks_are_followed_by_address() -> None:
    changes = [(1, 10), (9, -50), (2, 5), (1, -10), (1, 8), (2, -5), (1, -8)]
    # 10, then an unknown block is freed, 15, 5, 13, 8, 0.
    assert peak_of_changes(iter(changes)) == 15
    assert peak_of_changes(iter([])) == 0


@pytest.mark.gpu
def test_cuda_peak_is_the_sum_of_its_blocks() -> None:
    x = torch.zeros(MIB, device="cuda")

    def function() -> torch.Tensor:
        y = x.clone()
        z = torch.add(y, y)
        return torch.add(z, y)

    # 4 MiB each; already multiples of the allocator's 512 bytes.
    assert measure_peak_memory(function, device="cuda") == 12
