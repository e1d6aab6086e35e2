"""A small architecture, with any field changed."""

from autoseg.architecture import Architecture, CellEdge

CELL = (
    (CellEdge(0, "skip_connect"), CellEdge(1, "sep_conv_3x3")),
    (CellEdge(1, "max_pool_3x3"), CellEdge(2, "atrous_conv_5x5")),
)


def small(**changes):
    fields = {"space": "mine", "strides": (4, 8, 16), "path": (4, 8, 16, 8), "cell": CELL}
    return Architecture(**(fields | changes))
