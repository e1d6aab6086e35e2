"""What a user can say to `python -m autoseg.cost`."""

from dataclasses import dataclass

from autoseg.config import Count, Pixels, Request


@dataclass(frozen=True, kw_only=True)
class CostRequest(Request):
    """A network to count, and the image that it is counted for."""

    network: str
    """FILE.py:NAME or MODULE:NAME of a torch module of your own, or of a class or a function that
    gives it without arguments; or the name of a network of the zoo."""
    size: tuple[Pixels, Pixels] = (512, 1024)
    """Height and width of the image, in pixels."""
    num_classes: Count = 19
    """Classes of a network of the zoo; your own has those that it has."""
    receptive_field: bool = False
    """Tell the theoretical receptive field of the pixel in the centre as well."""
    effective_field: Count | None = None
    """Tell its effective receptive field as well (Luo et al. 2016), the mean over so many images of
    normal noise; each takes a pass forward and back. None: it is not told."""
    num_operators: Count = 8
    """Operators to list, the most expensive first."""
