"""Copies to a GPU wait for nothing; on one device nothing is copied."""

from unittest import mock

import pytest
import torch

from autoseg.upload import to_device

CUDA = torch.device("cuda")


def test_copying_to_the_same_device_copies_nothing():
    tensor = torch.randn(3)
    assert to_device(tensor, torch.device("cpu")) is tensor


def test_what_is_sent_to_a_gpu_lies_in_memory_that_it_reads_by_itself():
    tensor = mock.MagicMock(device=torch.device("cpu"))
    copied = to_device(tensor, CUDA)
    # CUDA's programming guide: a copy is asynchronous from page-locked memory alone.
    tensor.pin_memory().to.assert_called_once_with(CUDA, non_blocking=True)
    assert copied is tensor.pin_memory().to()


@pytest.mark.gpu
def test_a_copy_arrives_whole():
    tensor = torch.randn(1 << 20)
    copied = to_device(tensor, CUDA)
    assert copied.device.type == "cuda" and torch.equal(copied.cpu(), tensor)
