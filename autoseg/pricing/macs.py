"""The multiply-accumulates of every network of a space."""

from autoseg.architecture import SearchSpace
from autoseg.cost import count_module_macs
from autoseg.networks.weightless import weightless
from autoseg.pricing.parts import Part, PricedNetworks, assemble
from autoseg.pricing.prices import Prices


def price_space(
    space: SearchSpace,
    *,
    image_size: tuple[int, int],
    num_classes: int,
    filter_multiplier: int,
    width: float = 1.0,
    in_channels: int = 3,
) -> Prices:
    """Count the MACs of every part that a network of the space can have.

    Args:
        space: What may be chosen.
        image_size: Height and width of the image, in pixels.
        num_classes: K.
        filter_multiplier: F of the networks, as `build_network` takes it.
        width: Factor on the channels that F does not decide, as `build_network` takes it.
        in_channels: C, the number of the images' channels.

    Raises:
        RuntimeError: If an operation of one's own does not run on meta tensors.
    """
    networks = PricedNetworks(
        space=space,
        image_size=image_size,
        num_classes=num_classes,
        filter_multiplier=filter_multiplier,
        width=width,
        in_channels=in_channels,
    )
    return count_prices(networks)


def count_prices(networks: PricedNetworks) -> Prices:
    """Count the MACs of every part of the networks; see `price_space`."""
    known: dict[str, int] = {}

    def count(part: Part) -> int:
        if part.name not in known:
            known[part.name] = count_module_macs(part.build(), part.input_shape)
        return known[part.name]

    with weightless():  # takes no memory, and no random numbers
        return assemble(networks, count, unit="MACs")
