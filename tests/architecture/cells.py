"""Small cell spaces, and DARTS' published cells."""

from autoseg.architecture import CellArchitecture, CellEdge, CellSpace

SMALL = CellSpace(
    name="small",
    paper="none",
    num_cells=3,
    retrain_num_cells=4,
    num_nodes=2,
    normal_operations=(("none", "skip_connect", "sep_conv_3x3"),) * 5,
    # Each edge has candidates of its own, the same ones in another order on some.
    reduction_operations=(
        ("max_pool_3x3", "skip_connect"),
        ("none", "avg_pool_3x3"),
        ("skip_connect", "dil_conv_3x3"),
        ("noise", "sep_conv_5x5"),
        ("sep_conv_3x3", "max_pool_3x3"),
    ),
    stem_channels=(8, 8, 12),
    filter_multiplier=4,
)
"""A space of two nodes whose reduction cell has other operations on every edge."""

_OPS = {
    "sep": "sep_conv_3x3",
    "skip": "skip_connect",
    "max": "max_pool_3x3",
    "avg": "avg_pool_3x3",
    "dil": "dil_conv_3x3",
}


def cell(text):
    """Read a cell from its edges, such as "sep1 sep0 skip0 sep1", two a node."""
    edges = [CellEdge(int(word[-1]), _OPS[word[:-1]]) for word in text.split()]
    return tuple(zip(edges[::2], edges[1::2], strict=True))


# DARTS, arXiv 1806.09055, figures 4 to 6 and the cells that its code publishes under these names.
DARTS_V1 = CellArchitecture(
    space="darts_cells",
    num_cells=20,
    normal=cell("sep1 sep0 skip0 sep1 skip0 sep1 sep0 skip2"),
    reduction=cell("max0 max1 skip2 max0 max0 skip2 skip2 avg0"),
)
DARTS_V2 = CellArchitecture(
    space="darts_cells",
    num_cells=20,
    normal=cell("sep0 sep1 sep0 sep1 sep1 skip0 skip0 dil2"),
    reduction=cell("max0 max1 skip2 max1 max0 skip2 skip2 max1"),
)
