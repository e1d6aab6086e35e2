"""ResNet classifiers."""

from collections.abc import Sequence

from torch import Tensor, nn

from autoseg.networks.initialise import initialise_
from autoseg.networks.resnet import Block, ResNet


class ResNetClassifier(ResNet):
    """A ResNet with its classifier; the state dict has torchvision's keys, order and shapes.

    With squeeze and excitation, which torchvision does not have, the gates lie in each block as
    "se.fc1" and "se.fc2". The stride is on the 3x3 convolution in every form; the authors' Caffe
    SE-ResNet has it on the first 1x1, with as many parameters and fewer MACs. At output stride 8 or
    16 a gate is the mean over a denser map: there, and only there, the strided network's map is not
    contained in the dense one exactly.
    """

    def __init__(
        self,
        num_blocks: Sequence[int],
        *,
        block: Block = "bottleneck",
        num_classes: int | None = 1000,
        output_stride: int = 32,
        width: float = 1.0,
    ) -> None:
        """Build the network.

        Args:
            num_blocks: Blocks in stages 1 to 4.
            block: Kind of block.
            num_classes: Classes of the whole image; None leaves the linear layer out.
            output_stride: 8, 16 or 32.
            width: Factor on all channel counts, by `scale_channels`.
        """
        super().__init__(num_blocks, block=block, output_stride=output_stride, width=width)
        self.fc = None
        if num_classes is not None:
            self.fc = nn.Linear(self.stage_channels[3], num_classes)
            initialise_(self.fc)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (N, 3, H, W) to logits (N, num_classes), or headless to stage 4's map."""
        last = super().forward(images)
        return last if self.fc is None else self.fc(last.mean(dim=(2, 3)))
