"""The vocabulary of operations: what the papers list."""

from autoseg.architecture import NO_OPERATION, OPERATIONS


def test_vocabulary_is_both_papers_operations():
    # DARTS section 3.1.1 and Auto-DeepLab section 3.1 list the same eight, where "atrous" is
    # depthwise in the one and full in the other.
    shared = {"none", "skip_connect", "max_pool_3x3", "avg_pool_3x3", "sep_conv_3x3"}
    shared |= {"sep_conv_5x5"}
    depthwise, full = {"dil_conv_3x3", "dil_conv_5x5"}, {"atrous_conv_3x3", "atrous_conv_5x5"}
    assert set(OPERATIONS) == shared | depthwise | full
    assert NO_OPERATION == "none"
