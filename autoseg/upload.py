"""Copies to a GPU that the CPU does not wait for."""

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy to a device; to a GPU without waiting for it."""
    return pinned(tensor, device).to(device, non_blocking=True)


def pinned(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor that can be copied to a device without a wait, itself if it already can.

    From ordinary memory the copy, and with it the CPU, would wait for the work before it.
    """
    is_upload = device.type == "cuda" and tensor.device.type == "cpu"
    return tensor.pin_memory() if is_upload else tensor
