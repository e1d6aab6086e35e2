"""CRF-RNN: a dense CRF as a network's last layer, trained together with it (Zheng et al. 2015)."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._compile import _disable_dynamo

from autoseg.contract import FollowsProgress, TrainingLogits
from autoseg.crf import CRFConfig, DenseCRF
from autoseg.crf.kernels import Weight
from autoseg.crf.operator import log_marginals_as_operator
from autoseg.errors import UsageError

TRAINING_ITERATIONS = 5
"""Updates in training: a longer recurrence makes gradients vanish and takes longer."""

CRF_RNN = CRFConfig(
    bilateral_weight=1.0,
    bilateral_xy_std=160.0,
    bilateral_rgb_std=3.0,
    spatial_weight=1.0,
    spatial_xy_std=3.0,
    num_iterations=10,
    normalisation="after",
)
"""What CRF-RNN starts from. Its deviations are those of the example in the paper's release; 160
pixels are for images of up to 500."""

_SMALLEST_COLOUR = 1e-3
"""What rounding leaves of black, at most, in units of 0 to 255."""


class NetworkWithCRF(nn.Module):
    """A segmentation network followed by mean field inference in a dense CRF.

        logits  = network(images)
        Q       = marginals of the CRF with the unary term -log softmax(logits), on the same images
        result  = log Q

    Q is the softmax of the result, so that the result is logits to every loss and every
    prediction. The gradient flows through all updates into the network, the kernel weights and
    the compatibility. docs/crf.md tells what is learnt, what it keeps in memory, and how it is
    compiled.
    """

    def __init__(
        self,
        network: nn.Module,
        crf: DenseCRF,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        colours: tuple[int, int, int] = (0, 1, 2),
        num_training_iterations: int = TRAINING_ITERATIONS,
    ) -> None:
        """Join a network and a CRF.

        Args:
            network: Maps normalised images (N, C, H, W) to logits (N, K, H, W); in training mode
                it may return `TrainingLogits`.
            crf: For K classes. Its positions are in pixels of what the network sees. In eval mode
                it makes its own `num_iterations` updates.
            mean: Mean that normalisation takes from each channel, images in [0, 1].
            std: Deviation that normalisation divides each channel by, positive.
            colours: Channels that the CRF takes for red, green and blue; one thrice is grey.
            num_training_iterations: Updates in training mode, >= 0.

        Raises:
            UsageError: If a number is out of its range.
        """
        super().__init__()
        if not len(mean) == len(std) > max(colours) or not min(std) > 0:
            raise UsageError(
                f"NetworkWithCRF: mean {tuple(mean)} and std {tuple(std)}; each needs one number "
                f"a channel, at least {max(colours) + 1}, and std must be positive: give those "
                "that the images are normalised by."
            )
        if num_training_iterations < 0:
            raise UsageError(
                f"NetworkWithCRF: num_training_iterations is {num_training_iterations}; it must "
                f"not be negative (the paper's is {TRAINING_ITERATIONS})."
            )
        self.network = network
        self.crf = crf
        self.mean, self.std, self.colours = tuple(mean), tuple(std), colours
        self.num_training_iterations = num_training_iterations

    def forward(self, images: Tensor) -> Tensor | TrainingLogits:
        """Map normalised images (N, C, H, W) of any size to logits log Q, (N, K, H, W).

        The images are brought back to colours from 0 to 255. What lies outside, such as the
        overshoot of a resize, is cut off; what a batch's padding added has the mean colour and
        takes part in the inference like any pixel.

        Returns:
            log Q in the dtype of the network's logits; in training mode with the auxiliary logits
            of a network that has some.
        """
        return self.refine(self.network(images), images)

    def refine(self, output: Tensor | TrainingLogits, images: Tensor) -> Tensor | TrainingLogits:
        """Infer log Q from what the network gave for these images; `forward` after the network."""
        logits = output.logits if isinstance(output, TrainingLogits) else output
        refined = self._refine(logits, self._colours(images)).to(logits.dtype)
        if isinstance(output, TrainingLogits):
            return output._replace(logits=refined)
        return refined

    def set_training_progress(self, progress: float | Tensor) -> None:
        """Pass on the share of the training that is done to a network that asks for it."""
        if isinstance(self.network, FollowsProgress):
            self.network.set_training_progress(progress)

    def extra_repr(self) -> str:
        """Show what is no module."""
        return (
            f"mean={self.mean}, std={self.std}, "
            f"num_training_iterations={self.num_training_iterations}"
        )

    def _colours(self, images: Tensor) -> Tensor:
        """Undo the normalisation: RGB from 0 to 255, at least float32, without a gradient."""
        dtype = torch.promote_types(images.dtype, torch.float32)
        chosen = ([values[channel] for channel in self.colours] for values in (self.mean, self.std))
        mean, std = (
            torch.tensor(values, dtype=dtype, device=images.device).view(3, 1, 1)
            for values in chosen
        )
        if self.colours != tuple(range(images.shape[1])):
            images = images[:, self.colours]
        colours = (images.detach().to(dtype) * std + mean) * 255
        # An image that is all black must stay so, or it looks like one scaled to [0, 1].
        return F.threshold(colours, _SMALLEST_COLOUR, 0.0).clamp_max(255)

    def _refine(self, logits: Tensor, colours: Tensor) -> Tensor:
        # By the mode, not by `train()`: a mode may also be set module by module.
        num_iterations = (
            self.num_training_iterations if self.training else self.crf.settings.num_iterations
        )
        needs_gradient = torch.is_grad_enabled() and (
            logits.requires_grad or any(weight.requires_grad for weight in self.crf.parameters())
        )
        if needs_gradient and not torch.compiler.is_exporting():
            return self._refine_with_gradient(logits, colours, num_iterations)
        return log_marginals_as_operator(self.crf, logits, colours, num_iterations=num_iterations)

    # The lattice depends on the colours. Torch's own decorator for this: the public one brings the
    # compiler, which takes seconds, whenever it is applied, and not when something is compiled.
    @_disable_dynamo
    def _refine_with_gradient(self, logits: Tensor, colours: Tensor, num_iterations: int) -> Tensor:
        return self.crf.log_marginals(logits, colours, num_iterations=num_iterations)


def crf_rnn(
    network: nn.Module,
    *,
    num_classes: int,
    mean: Sequence[float],
    std: Sequence[float],
    colours: tuple[int, int, int] = (0, 1, 2),
    settings: CRFConfig = CRF_RNN,
) -> NetworkWithCRF:
    """Put CRF-RNN behind a network: a weight for each class and kernel, a full compatibility.

    It adds 2 K + K^2 parameters; the compatibility starts as Potts, ones off the diagonal.
    docs/crf.md lists where it differs from the paper and from the paper's release.

    Args:
        network: Maps normalised images (N, C, H, W) to logits (N, K, H, W).
        num_classes: K, the number of evaluated classes.
        mean: Mean that normalisation takes from each channel, images in [0, 1].
        std: Deviation that normalisation divides each channel by, positive.
        colours: Channels that the CRF takes for red, green and blue; one thrice is grey.
        settings: What the CRF starts from and how it is computed. A weight for all classes
            becomes one for each, and no compatibility becomes Potts as a matrix. Positions are in
            pixels of what the network sees; `num_iterations` are those of eval mode.

    Raises:
        UsageError: If weights or compatibility are for another number of classes.

    Source: Zheng et al. 2015, "Conditional Random Fields as Recurrent Neural Networks" (arXiv
    1502.03240), sections 4 to 7.
    """
    potts = [[float(row != column) for column in range(num_classes)] for row in range(num_classes)]
    per_class = replace(
        settings,
        bilateral_weight=_per_class(settings.bilateral_weight, num_classes),
        spatial_weight=_per_class(settings.spatial_weight, num_classes),
        compatibility=potts if settings.compatibility is None else settings.compatibility,
    )
    return NetworkWithCRF(network, per_class.build(), mean=mean, std=std, colours=colours)


def _per_class(weight: Weight, num_classes: int) -> Sequence[float]:
    return weight if isinstance(weight, Sequence) else [weight] * num_classes
