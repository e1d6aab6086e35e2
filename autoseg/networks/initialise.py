"""Initial weights of every network in this folder."""

import math

from torch import nn

from autoseg.ops import RegisteredOperation

LOGIT_STD = 0.01
"""Standard deviation of a classifier's initial weights (DeepLab's TensorFlow code)."""


def initialise_(network: nn.Module) -> None:
    """Initialise all convolutions, batch norms and linear layers in place, from torch's own RNG.

    - A convolution without bias has batch norm after it: Kaiming normal over fan-out, which keeps
      the variance of the gradient through ReLU.
    - A convolution with bias, or a linear layer, predicts logits: normal with standard deviation
      `LOGIT_STD`, bias 0. Kaiming over the fan-out of a few classes would start at logits so large
      that the first steps only undo them.
    - Batch norm: weight 1, bias 0.
    - A registered operation stays as its author built it.

    Source: He et al. 2015 (arXiv 1502.01852), section 2.2, the backward case.
    """
    theirs = {
        id(part)
        for module in network.modules()
        if isinstance(module, RegisteredOperation)
        for part in module.modules()
    }
    for module in network.modules():
        if id(module) in theirs:
            continue
        if isinstance(module, nn.Conv2d) and module.bias is None:
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.normal_(module.weight, std=LOGIT_STD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)


def initialise_rectified_(network: nn.Module) -> None:
    """Initialise in place layers that feed ReLUs, with a bias or without; none predicts logits.

    Such are VGG and AlexNet, which have no batch norm, and the networks made of them. With
    `initialise_`, which takes a bias as the mark of a classifier, sixteen layers would shrink the
    signal to nothing. The classifier itself is then left to `initialise_`.

    - Convolution and linear layer: Kaiming normal over fan-out, bias 0.
    - Transposed convolution: normal with variance 2 / n, n the terms in the sum of an output pixel
      away from the border, in_channels * kernel^2 / stride^2; bias 0. A frozen one is left alone.
    - Batch norm: weight 1, bias 0.

    Source: He et al. 2015 (arXiv 1502.01852), section 2.2.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.ConvTranspose2d) and module.weight.requires_grad:
            area = math.prod(module.kernel_size) / math.prod(module.stride)
            nn.init.normal_(module.weight, std=math.sqrt(2 / (module.in_channels * area)))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
