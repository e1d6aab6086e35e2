"""The vocabulary of operations: what the papers list."""

from dataclasses import replace

import pytest
from torch import nn

from autoseg.architecture import (
    FAMILIES,
    NO_OPERATION,
    OPERATIONS,
    SearchSpace,
    operations_of,
    register_operation,
)
from autoseg.errors import UsageError


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


@pytest.fixture
def own_table():
    """Leave the table as it was."""
    before = dict(OPERATIONS)
    yield
    OPERATIONS.clear()
    OPERATIONS.update(before)


def identity(channels, stride):
    return nn.Identity()


@pytest.mark.usefixtures("own_table")
def test_a_registered_operation_stands_in_the_table():
    register_operation("strip_conv_7", identity, description="1x7, then 7x1")
    register_operation("strip_conv_7", identity, description="said twice")
    operation = OPERATIONS["strip_conv_7"]
    assert (operation.label, operation.description) == ("strip conv 7", "said twice")
    assert operation.family is None and operation.build is identity
    register_operation("a_rather_long_name", identity, description="cut in drawings")
    assert OPERATIONS["a_rather_long_name"].label == "a rather long…"
    register_operation("named", identity, description="by hand", label="my label")
    assert OPERATIONS["named"].label == "my label"
    space = replace(SearchSpace.load("autodeeplab"), operations=("none", "strip_conv_7"))
    assert SearchSpace.from_dict(space.to_dict()) == space


@pytest.mark.usefixtures("own_table")
@pytest.mark.parametrize(
    ("name", "label", "message"),
    [
        ("Strip", None, "name 'Strip', but it must be lower-case letters"),
        ("a" * 41, None, "at most 40 of them"),
        ("", None, "name ''"),
        ("taken", None, "the name 'taken' is .*identity's; choose another one"),
        ("sep_conv_3x3", None, "the name 'sep_conv_3x3' comes with autoseg"),
        ("none", None, "the name 'none' comes with autoseg"),
        ("fine", "a label that is too long", "drawings have room for 1 to 14"),
        ("fine", "\x1b[31m", "drawings have room"),
    ],
)
def test_a_name_or_label_that_cannot_be_one_is_refused(name, label, message):
    register_operation("taken", identity, description="first come")
    with pytest.raises(UsageError, match=message):
        register_operation(name, nn.Identity, description="never", label=label)
    assert "fine" not in OPERATIONS
