"""The share of skip connections against a case worked by hand."""

from autoseg.architecture import Architecture, CellEdge
from autoseg.strategies import skip_share


def test_skip_share_counts_edges():
    skip, other = CellEdge(0, "skip_connect"), CellEdge(1, "sep_conv_3x3")
    architecture = Architecture(
        space="x", strides=(4,), path=(4,), cell=((skip, other), (other, other))
    )
    assert skip_share(architecture) == 0.25
