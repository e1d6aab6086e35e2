"""Any torch module that computes features at several strides, as an encoder.

Two functions say how: which channels its maps have, and how they are computed. A module of another
library needs no more than that:

    body = timm.create_model("convnext_tiny", features_only=True, pretrained=True)
    encoder = AdaptedEncoder(
        body,
        channels=lambda body: body.feature_info.channels(),
        maps=lambda body, images: body(images),
    )
    network = build_network("deeplabv3plus", encoder=encoder, num_classes=21)
"""

from collections.abc import Callable, Sequence
from typing import ClassVar

from torch import Tensor, nn

from autoseg.errors import UsageError
from autoseg.networks.encoders.dilation import check_output_stride
from autoseg.networks.encoders.encoder import Encoder

NUM_STAGES = 4


class AdaptedEncoder(Encoder):
    """A module with two functions that make an encoder of it.

    Its weights are those that it came with; its parameters are trained with the network's and lie
    below "body" in the state dict.
    """

    classifier_parts: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        body: nn.Module,
        *,
        channels: Callable[[nn.Module], Sequence[int]],
        maps: Callable[[nn.Module, Tensor], Sequence[Tensor]],
        output_stride: int = 32,
    ) -> None:
        """Take a module as it is.

        Args:
            body: The module.
            channels: Gives the channels of the maps at strides 4, 8, 16 and at the output stride
                or 32, in this order.
            maps: Computes these maps of normalised images (N, 3, H, W), each (N, C, h, w), from
                stride 4 on; of maps with one size the last. Neither may change with the mode.
            output_stride: Stride of the last map: 8, 16 or 32; the decoder's rates follow it.

        Raises:
            UsageError: If these are not four channel counts, or the stride is another one.
        """
        super().__init__()
        check_output_stride(output_stride)
        self.output_stride = output_stride
        self.body = body
        self._maps = maps
        counts = tuple(channels(body))
        if len(counts) != NUM_STAGES or not all(isinstance(c, int) and c > 0 for c in counts):
            raise UsageError(
                f"AdaptedEncoder: channels of {type(body).__name__} are {counts}; four counts are "
                "needed, those of the maps at strides 4, 8, 16 and 32 (leave a map at stride 2 "
                "out)."
            )
        self.stage_channels = counts

    def maps(self, images: Tensor, *, stages: Sequence[int]) -> list[Tensor]:
        """Compute the maps of `stages`; see `Encoder`. The body computes all of them.

        Raises:
            UsageError: If the maps are not four, or not of the channels that were named.
        """
        maps = self._maps(self.body, images)
        shapes = [tuple(features.shape) for features in maps]
        channels = tuple(shape[1] for shape in shapes if len(shape) == 4)
        if channels != self.stage_channels or len(shapes) != NUM_STAGES:
            raise UsageError(
                f"AdaptedEncoder: the maps of {type(self.body).__name__} are {shapes}; four maps "
                f"(N, C, h, w) are needed, with {', '.join(map(str, self.stage_channels))} "
                "channels, as its function of the channels says."
            )
        return [maps[stage - 1] for stage in stages]

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to stage 4's map, at the output stride."""
        (last,) = self.maps(images, stages=(4,))
        return last
