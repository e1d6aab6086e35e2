"""What a decoded architecture says of the search, against cases worked by hand."""

from autoseg.architecture import Architecture, CellEdge
from autoseg.strategies import skip_share
from autoseg.strategies.statistics import collapse


def test_skip_share_counts_edges():
    skip, other = CellEdge(0, "skip_connect"), CellEdge(1, "sep_conv_3x3")
    architecture = Architecture(
        space="x", strides=(4,), path=(4,), cell=((skip, other), (other, other))
    )
    assert skip_share(architecture) == 0.25


def test_a_cell_without_weights_is_a_collapse():
    skip, pool, other = (
        CellEdge(source, op)
        for source, op in enumerate(("skip_connect", "avg_pool_3x3", "sep_conv_3x3"))
    )

    def found(*nodes):
        return Architecture(space="x", strides=(4,), path=(4,), cell=nodes)

    assert collapse(found((skip, pool), (pool, other))) is None
    said = collapse(found((skip, pool), (pool, skip)))
    assert said.startswith("The search has collapsed: all that the cell keeps is avg_pool_3x3, ski")
    assert "is skip_connect, and none" in collapse(found((skip, CellEdge(1, "skip_connect"))))
