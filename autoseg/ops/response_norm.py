"""Local response normalisation over channels."""

import torch.nn.functional as F
from torch import Tensor, nn


class ResponseNorm(nn.Module):
    """Divide each value by a power of the mean square of its neighbours in the channel direction.

    b = a / (1 + alpha * mean(a^2))^beta, the mean over `size` channels around a's; channels outside
    count as 0. The same as `nn.LocalResponseNorm`, which does not run in bfloat16 on a CPU.

    Source: Krizhevsky et al. 2012, "ImageNet Classification with Deep Convolutional Neural
    Networks", section 3.3, with Caffe's division of alpha by the size.
    """

    def __init__(self, size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta

    def forward(self, features: Tensor) -> Tensor:
        """Map (N, C, H, W) to the same shape."""
        num_channels = features.shape[1]
        before, after = self.size // 2, (self.size - 1) // 2
        squares = F.pad(features.square(), (0, 0, 0, 0, before, after))
        windows = [squares[:, start : start + num_channels] for start in range(self.size)]
        mean = sum(windows[1:], start=windows[0]) / self.size
        return features / (1 + self.alpha * mean) ** self.beta
