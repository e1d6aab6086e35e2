"""What a decoded architecture says of the search, against cases worked by hand."""

from torch import nn

from autoseg.architecture import OPERATIONS, Architecture, CellArchitecture, CellEdge
from autoseg.architecture.operations import Operation
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


def test_noise_is_a_collapse_and_an_operation_of_ones_own_is_not(monkeypatch):
    def found(name):
        edges = CellEdge(0, name), CellEdge(1, name)
        return CellArchitecture(space="s4", num_cells=3, normal=(edges,), reduction=(edges,))

    assert "is noise, and none" in collapse(found("noise"))
    own = Operation(
        name="own", label="own", description="", build=lambda channels, stride: nn.Identity()
    )
    monkeypatch.setitem(OPERATIONS, "own", own)
    assert collapse(found("own")) is None
