"""What the kernels look up: a row for each convolution of a source operation, and tile sizes."""

import math
from typing import NamedTuple

import torch

from autoseg.architecture.operations import (
    ATROUS_CONV,
    AVG_POOL,
    DIL_CONV,
    FAMILIES,
    MAX_POOL,
    SEP_CONV,
    SKIP,
    Family,
    operations_of,
)
from autoseg.supernet.source_layout import SourceLayout, num_elements

MAX_KERNEL_SIZE = 5
"""Side of the largest kernel of a full convolution, in pixels."""
FREE_FAMILIES = (SKIP, MAX_POOL, AVG_POOL)
"""Operations without weights, in the order of their gradient sums behind those of the features."""
FREE_OPERATIONS = tuple(each.name for family in FREE_FAMILIES for each in operations_of(family))
"""Their names: one each, over 3 x 3 pixels where it pools; the kernels know no other."""


# Written for these: a table that says otherwise must not run on them.
assert (*FREE_FAMILIES, SEP_CONV, DIL_CONV, ATROUS_CONV) == FAMILIES
assert [len(operations_of(family)) for family in FREE_FAMILIES] == [1, 1, 1]
assert all(operations_of(family)[0].kernel_size == 3 for family in (MAX_POOL, AVG_POOL))
assert [len(family.stages) for family in (SEP_CONV, DIL_CONV, ATROUS_CONV)] == [2, 1, 1]
assert max(operation.kernel_size for operation in operations_of(ATROUS_CONV)) <= MAX_KERNEL_SIZE


class Row(NamedTuple):
    """One convolution, with the batch norm after it, of one operation; the same for every edge.

    Offsets are those of target 0 and input cell 0.
    """

    kernel_size: int
    """s, of the s x s kernel."""
    dilation: int
    """1 or 2."""
    depthwise: int
    """Offset in the flat weight of (T, C, s, s); -1 for a full convolution."""
    pointwise: int
    """Offset in the flat weight of (T, C_out, C_in); of (T, C_out, C_in, s, s) if it is full."""
    feature: int
    """Offset of the batch norm's features."""
    feature_stride: int
    """Distance from one input cell's features to the next one's."""
    input_feature: int
    """Features of the map that is normalised, activated and convolved; -1 for the state."""
    output_feature: int
    """Features of the map that reads this one's; -1 where the sum over the operations does."""
    column: int
    """Column of alpha; -1 where another convolution reads this one."""


class SourcePlan:
    """The tables of one source operation on one device.

    Rows stand in the order sep1, dil, atrous, sep2, so that each set below is one slice.
    """

    def __init__(self, layout: SourceLayout, device: torch.device) -> None:
        self.channels = layout.channels
        self.num_targets, self.num_inputs = layout.num_targets, layout.num_inputs
        first = _separable_rows(layout, SEP_CONV, 0)
        second = _separable_rows(layout, SEP_CONV, 1)
        dilated = _separable_rows(layout, DIL_CONV, 0)
        atrous = _full_rows(layout, ATROUS_CONV)
        rows = first + dilated + atrous + second
        table = torch.tensor(rows, dtype=torch.int32, device=device).view(-1, len(Row._fields))
        self.first_rows = table[: len(first + dilated)]
        """Separable convolutions of the state."""
        self.second_rows = table[len(rows) - len(second) :]
        """The second halves of the separable convolutions."""
        self.atrous_rows = table[len(first + dilated) : len(rows) - len(second)]
        """Full convolutions of the state."""
        self.state_rows = table[: len(rows) - len(second)]
        """All that read the state."""
        self.final_rows = table[len(first) :]
        """All whose normalised maps are summed into the targets."""

        self.num_features = num_elements(layout.features)
        self.num_weights = num_elements(layout.weights)
        per_operation = layout.num_inputs * layout.num_targets * layout.channels
        self.free_sums = tuple(
            self.num_features + number * per_operation for number in range(len(FREE_OPERATIONS))
        )
        self.num_sums = self.num_features + len(FREE_OPERATIONS) * per_operation
        """Sums of the backward pass: the features', then (K, T, C) of each of `FREE_OPERATIONS`."""
        self.first_features = _feature_range(layout, SEP_CONV.stages[0])
        self.second_features = _feature_range(layout, SEP_CONV.stages[1])
        """Offset and number of the features of the separable convolutions' halves."""
        self.avg_feature = _feature_range(layout, operations_of(AVG_POOL)[0].name)[0]
        """Offset of the average pool's features; the maximum pool's come first of all."""
        # The kernels take no offset for the maximum pool.
        assert _feature_range(layout, operations_of(MAX_POOL)[0].name)[0] == 0
        self.free_columns = [
            layout.operations.index(name) if name in layout.operations else -1
            for name in FREE_OPERATIONS
        ]
        """Columns of alpha of `FREE_OPERATIONS`, -1 where absent."""
        self.alpha_sums = torch.tensor(
            self._alpha_sums(layout, rows), dtype=torch.int32, device=device
        )
        """Where the sums of each column of alpha lie: offset, stride of k; -1 for no sums."""

    def _alpha_sums(self, layout: SourceLayout, rows: list[Row]) -> list[tuple[int, int]]:
        sums: list[tuple[int, int]] = [(-1, 0)] * len(layout.operations)
        for row in rows:
            if row.column >= 0:
                sums[row.column] = row.feature, row.feature_stride
        for start, column in zip(self.free_sums, self.free_columns, strict=True):
            if column >= 0:
                sums[column] = start, layout.num_targets * layout.channels
        return sums


def _feature_range(layout: SourceLayout, name: str) -> tuple[int, int]:
    block = layout.features.get(name)
    return (0, 0) if block is None else (block.offset, block.size)


def _separable_rows(layout: SourceLayout, family: Family, number_of_stage: int) -> list[Row]:
    """List the rows of one stage of a family, smallest kernel first."""
    features, weights, stage = layout.features, layout.weights, family.stages[number_of_stage]
    operations = layout.present(family)
    per_operation = layout.num_targets * layout.channels
    before = family.stages[number_of_stage - 1] if number_of_stage > 0 else None
    after = family.stages[number_of_stage + 1] if stage != family.stages[-1] else None

    def feature(stage: str | None, number: int) -> int:
        return -1 if stage is None else features[stage].offset + number * per_operation

    return [
        Row(
            kernel_size=operation.kernel_size,
            dilation=operation.rate,
            depthwise=weights[f"{stage}.depthwise{operation.kernel_size}"].offset,
            pointwise=weights[f"{stage}.pointwise"].offset
            + number * per_operation * layout.channels,
            feature=feature(stage, number),
            feature_stride=len(operations) * per_operation,
            input_feature=feature(before, number),
            output_feature=feature(after, number),
            column=layout.operations.index(operation.name) if after is None else -1,
        )
        for number, operation in enumerate(operations)
    ]


def _full_rows(layout: SourceLayout, family: Family) -> list[Row]:
    (stage,) = family.stages
    return [
        Row(
            kernel_size=operation.kernel_size,
            dilation=operation.rate,
            depthwise=-1,
            pointwise=layout.weights[f"{stage}{operation.kernel_size}"].offset,
            feature=layout.features[f"{stage}{operation.kernel_size}"].offset,
            feature_stride=layout.num_targets * layout.channels,
            input_feature=-1,
            output_feature=-1,
            column=layout.operations.index(operation.name),
        )
        for operation in layout.present(family)
    ]


class Tiling(NamedTuple):
    """How the maps of a source operation, (P, C) with P = N * H * W pixels, are cut up."""

    block: int
    """Pixels of a block."""
    channel_block: int
    """Channels of a block."""
    num_blocks: int
    """Blocks of pixels."""
    num_channel_blocks: int
    """Blocks of channels."""
    num_chunks: int
    """Runs of blocks of pixels that a weight's gradient is summed over by one program."""

    @classmethod
    def for_plan(
        cls, plan: SourcePlan, num_pixels: int, *, block_elements: int, num_programs: int
    ) -> "Tiling":
        """Choose the tiles, from shapes alone.

        Args:
            plan: The source operation.
            num_pixels: P.
            block_elements: Elements of a block, pixels times channels.
            num_programs: Programs that fill the device.
        """
        channels = plan.channels
        channel_block = _power_of_two(channels)
        if channels > 64:
            # The width that pads least, the wider of equals: 80 -> 96 or 128, 160 -> 160 or 192.
            channel_block = min((64, 32), key=lambda width: -(-channels // width) * width)
        num_channel_blocks = -(-channels // channel_block)
        # 16 is the least that a matrix product takes; a block past 256 starves small maps.
        block = min(max(block_elements // channel_block, 16), 256)
        num_blocks = -(-num_pixels // block)

        num_tiles = plan.num_inputs * plan.num_targets * num_channel_blocks**2
        num_tiles *= max(1, len(plan.state_rows))
        # The parts of the weights' gradient take no more memory than the maps, or 64 MiB.
        most_elements = max(plan.num_features * num_pixels, 2**24)
        return cls(
            block=block,
            channel_block=channel_block,
            num_blocks=num_blocks,
            num_channel_blocks=num_channel_blocks,
            num_chunks=min(
                num_blocks,
                -(-num_programs // num_tiles),
                max(1, most_elements // max(1, plan.num_inputs * plan.num_weights)),
            ),
        )


def _power_of_two(number: int) -> int:
    return 2 ** math.ceil(math.log2(number))
