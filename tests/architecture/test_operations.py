"""The vocabulary of operations: what the papers list."""

from autoseg.architecture import FAMILIES, NO_OPERATION, OPERATIONS, operations_of


def test_vocabulary_is_both_papers_operations():
    # DARTS section 3.1.1 and Auto-DeepLab section 3.1 list the same eight, where "atrous" is
    # depthwise in the one and full in the other.
    shared = {"none", "skip_connect", "max_pool_3x3", "avg_pool_3x3", "sep_conv_3x3"}
    shared |= {"sep_conv_5x5"}
    depthwise, full = {"dil_conv_3x3", "dil_conv_5x5"}, {"atrous_conv_3x3", "atrous_conv_5x5"}
    assert set(OPERATIONS) == shared | depthwise | full
    assert NO_OPERATION == "none"


def test_names_say_family_and_kernel():
    for name, operation in OPERATIONS.items():
        assert operation.name == name
        if operation.kernel_size > 1:
            assert operation.family is not None
            size = operation.kernel_size
            assert name == f"{operation.family.name}_{size}x{size}"
            assert operation.label == f"{operation.family.label} {size}x{size}"


def test_families_share_out_all_operations_but_none():
    members = [each.name for family in FAMILIES for each in operations_of(family)]
    assert sorted(members) == sorted(set(OPERATIONS) - {NO_OPERATION})
    for family in FAMILIES:
        sizes = [each.kernel_size for each in operations_of(family)]
        assert sizes == sorted(set(sizes))
