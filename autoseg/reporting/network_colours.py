"""Which colour a network has: the same in every figure and on every page."""

from zlib import crc32

from autoseg.reporting.figure import BLUE, COLOURS, GREEN, ORANGE, VERMILLION

_SEARCHED = VERMILLION
_BY_FAMILY = {"searched": _SEARCHED, "deeplabv3plus": BLUE, "duc": GREEN, "icnet": ORANGE}
"""What a retraining trains unless it is told otherwise, by the first part of the name."""

_OTHERS = tuple(colour for colour in COLOURS if colour != _SEARCHED)


def network_colour(label: str) -> str:
    """Return the colour of a network.

    It follows from the network's name alone, so that it stays the same whatever else a figure
    shows. There are more networks than colours: two of one colour need another mark beside it.

    Args:
        label: The name, and after a space or a plus sign what tells of size, seed or CRF, as in
            "icnet_resnet50 x0.125" or "searched+crf".

    Returns:
        One of `COLOURS`, as "#RRGGBB".
    """
    name = label.partition(" ")[0].partition("+")[0]
    family = name.partition("_")[0]
    return (
        _BY_FAMILY.get(family) or _OTHERS[crc32(name.encode(errors="surrogatepass")) % len(_OTHERS)]
    )


def line_dashes(number: int) -> str | tuple[float, tuple[float, ...]]:
    """Return the line of the networks of one colour, by number: no two are alike.

    The first is solid, the second dashed, and the others have ever more dots between the dashes.
    """
    return "solid" if number == 0 else (0.0, (5.0, 2.0, *(1.0, 2.0) * (number - 1)))
