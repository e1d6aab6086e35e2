"""What a decoder may ask of an encoder."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A network that computes maps at strides 4, 8, 16 and 32, one a stage.

    Stage 1 ends with the last map at stride 4, stage 2 at stride 8, stage 3 at 16, stage 4 at 32.
    With an output stride of 8 or 16 the stages end with the same layers, whose maps are denser.

    Attributes:
        stage_channels: Channels of the maps of stages 1 to 4.
        output_stride: Stride of stage 4's map: 8, 16 or 32.
        classifier_parts: Names of the parts that a classifier has and a headless encoder lacks.
    """

    stage_channels: tuple[int, ...]
    output_stride: int
    classifier_parts: ClassVar[tuple[str, ...]]

    @abstractmethod
    def maps(self, images: Tensor, *, stages: Sequence[int]) -> list[Tensor]:
        """Compute the maps of the stages that a decoder reads.

        Args:
            images: (N, 3, H, W), normalised.
            stages: Numbers from 1 to 4; nothing after the last of them is computed.

        Returns:
            One map a stage, (N, stage_channels[stage - 1], h, w), in the order of `stages`.
        """


def maps_after(
    layers: Iterable[nn.Module], images: Tensor, *, ends: Sequence[int], stages: Sequence[int]
) -> list[Tensor]:
    """Run layers in order, and keep the maps after those that end a stage.

    Args:
        layers: The layers; none may change a kept map in place.
        images: Input of the first layer.
        ends: Position of the last layer of stages 1 to 4, ascending.
        stages: Numbers from 1 to 4; nothing after the last of them is computed.

    Returns:
        One map a stage, in the order of `stages`.
    """
    kept: list[Tensor] = []
    features = images
    for index, layer in enumerate(layers):
        features = layer(features)
        if index in ends:
            kept.append(features)
        if len(kept) == max(stages):
            break
    return [kept[stage - 1] for stage in stages]
