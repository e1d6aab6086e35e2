"""Networks for images of other channels than RGB: grey, or up to 16 of a camera or microscope."""

from typing import TypeVar

import torch
from torch import Tensor, nn

RGB_CHANNELS = 3
"""What every network is built for."""

_MARK = "reads_image"

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def reads_image(module: ModuleT) -> ModuleT:
    """Mark the convolution that reads the image: the first one in a module, or the module itself.

    Returns:
        The same module, so that a builder can mark what it builds where it stands.
    """
    first = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
    setattr(first, _MARK, True)
    return module


def image_readers(network: nn.Module) -> dict[str, nn.Conv2d]:
    """Return the convolutions that read the image, by their names in the network."""
    return {
        name: part
        for name, part in network.named_modules()
        if isinstance(part, nn.Conv2d) and getattr(part, _MARK, False)
    }


def image_channels(network: nn.Module) -> int:
    """Return how many channels a network's images have; 3 if it is a foreign one."""
    return next((each.in_channels for each in image_readers(network).values()), RGB_CHANNELS)


def set_image_channels_(network: nn.Module, num_channels: int) -> None:
    """Let a network that was built for RGB read images of other channels, in place.

    Every convolution that reads the image is adapted by `adapted_weight`, whether its weights are
    random or from a file; everything else stays.

    Args:
        network: Built by this package.
        num_channels: C, from 1.

    Raises:
        ValueError: If no convolution is known to read the image, as in a foreign encoder.
    """
    found = image_channels(network)
    if num_channels == found:
        return
    readers = list(image_readers(network).values())
    if not readers or found != RGB_CHANNELS:
        raise ValueError(
            f"{type(network).__name__} cannot be adapted to images of {num_channels} channel(s): "
            f"it has {len(readers)} convolution(s) that are known to read an image, of {found} "
            "channel(s). Build it for them, or use a network of autoseg."
        )
    for reader in readers:
        with torch.no_grad():
            weight = adapted_weight(reader.weight, num_channels)
        reader.weight = nn.Parameter(weight, requires_grad=reader.weight.requires_grad)
        reader.in_channels = num_channels


def adapted_weight(weight: Tensor, num_channels: int) -> Tensor:
    """Turn the weight of a convolution over RGB into one over other channels.

    One channel gets the sum over the three: a grey image gives what it gave as three equal
    channels. More get the three in turn, times 3 / C, which keeps the size of the result.

    Args:
        weight: (O, 3, h, w).
        num_channels: C.

    Returns:
        (O, C, h, w).

    Source: the rule of the timm library for `in_chans`.
    """
    if num_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    repeats = -(-num_channels // RGB_CHANNELS)
    repeated = weight.repeat(1, repeats, 1, 1)[:, :num_channels]
    return repeated * (RGB_CHANNELS / num_channels)
