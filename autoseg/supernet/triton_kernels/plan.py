"""What the kernels look up: a row for each convolution of a source operation, and tile sizes."""

import math
from typing import NamedTuple

import torch

from autoseg.supernet.source_layout import SourceLayout, num_elements

FREE_OPERATIONS = ("skip_connect", "max_pool_3x3", "avg_pool_3x3")
"""Operations without weights, in the order of their gradient sums behind those of the features."""


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
    """From one input cell's features to the next one's."""
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
        first = _separable_rows(layout, "sep1", "sep_conv")
        second = _separable_rows(layout, "sep2", "sep_conv")
        dilated = _separable_rows(layout, "dil", "dil_conv")
        atrous = _atrous_rows(layout)
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
        self.first_features = _feature_range(layout, "sep1")
        self.second_features = _feature_range(layout, "sep2")
        """Offset and number of the features of the separable convolutions' halves."""
        self.avg_feature = _feature_range(layout, "avg_pool_3x3")[0]
        """Offset of the average pool's features; the maximum pool's come first of all."""
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


def _separable_rows(layout: SourceLayout, stage: str, family: str) -> list[Row]:
    features, weights = layout.features, layout.weights
    sizes = layout.kernel_sizes(family)
    per_operation = layout.num_targets * layout.channels

    def feature(stage: str, number: int) -> int:
        return features[stage].offset + number * per_operation

    return [
        Row(
            kernel_size=size,
            dilation=2 if stage == "dil" else 1,
            depthwise=weights[f"{stage}.depthwise{size}"].offset,
            pointwise=weights[f"{stage}.pointwise"].offset
            + number * per_operation * layout.channels,
            feature=feature(stage, number),
            feature_stride=len(sizes) * per_operation,
            input_feature=feature("sep1", number) if stage == "sep2" else -1,
            output_feature=feature("sep2", number) if stage == "sep1" else -1,
            column=-1 if stage == "sep1" else layout.operations.index(f"{family}_{size}x{size}"),
        )
        for number, size in enumerate(sizes)
    ]


def _atrous_rows(layout: SourceLayout) -> list[Row]:
    return [
        Row(
            kernel_size=size,
            dilation=2,
            depthwise=-1,
            pointwise=layout.weights[f"atrous{size}"].offset,
            feature=layout.features[f"atrous{size}"].offset,
            feature_stride=layout.num_targets * layout.channels,
            input_feature=-1,
            output_feature=-1,
            column=layout.operations.index(f"atrous_conv_{size}x{size}"),
        )
        for size in layout.kernel_sizes("atrous_conv")
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
    def of(
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
