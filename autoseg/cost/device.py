"""The devices on which time and memory can be measured."""

import torch


def measured_device(device: torch.device | str) -> torch.device:
    """Check that a device is there and can be measured.

    Args:
        device: "cpu", "cuda" or "cuda:N".

    Returns:
        The device, with the index of the current one for a bare "cuda".

    Raises:
        ValueError: If it is of another kind, or not in this machine; nothing else is taken instead.
    """
    device = torch.device(device)
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ValueError(
            f"cannot measure on device '{device}': only cpu and cuda have a timer and a memory "
            "meter here."
        )
    num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if num_devices == 0:
        raise ValueError(
            f"cannot measure on device '{device}': torch sees no CUDA device; use device='cpu', or "
            "install a CUDA build of torch and check the driver with nvidia-smi."
        )
    index = torch.cuda.current_device() if device.index is None else device.index
    if index >= num_devices:
        raise ValueError(
            f"cannot measure on device '{device}': torch sees {num_devices} CUDA device(s), "
            f"cuda:0 to cuda:{num_devices - 1}."
        )
    return torch.device("cuda", index)


def has_own_memory(device: torch.device) -> bool:
    """Tell whether images have to be copied from the host's memory to the device."""
    return device.type != "cpu"
