"""The dense CRF as a module: marginals from a network's logits and the image they belong to."""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.crf.exact import BruteForceBilateralFilter
from autoseg.crf.gaussian import TRUNCATION, GaussianFilter
from autoseg.crf.linear import LinearFilter, SymmetricallyNormalised
from autoseg.crf.mean_field import mean_field
from autoseg.crf.permutohedral import PermutohedralFilter
from autoseg.crf.pixels import pixel_colours, pixel_positions
from autoseg.errors import UsageError, unknown_name


class DenseCRF(nn.Module):
    """Refine a segmentation by mean field inference in a fully connected CRF.

    The model, with p the position of a pixel in pixels and I its colour, 0 to 255:

        U(i, l)        = -log softmax(logits)(i, l)
        k_bilateral    = exp(-|p_i - p_j|^2 / (2 xy_std^2) - |I_i - I_j|^2 / (2 rgb_std^2))
        k_spatial      = exp(-|p_i - p_j|^2 / (2 spatial_xy_std^2))
        pairwise(i, j) = (bilateral_weight k_bilateral + spatial_weight k_spatial) [l_i != l_j]

    where each kernel, j = i included, is replaced by D^-1/2 K D^-1/2 with D = K 1. The equations
    of the updates are those of `autoseg.crf.mean_field.mean_field`. These are the conventions of
    pydensecrf with its default normalisation and a scalar compatibility, save one: the
    probabilities are not clipped at 1e-5 before the logarithm, because logits give it exactly.

    `bilateral_weight` and `spatial_weight` are parameters; the result is differentiable in them
    and in the logits. It has no gradient in the image or the standard deviations.

    The default parameters are DeepLab's; they were chosen for PASCAL VOC and for that network.
    Stock parameters can make the output of a good network worse, thin objects first: choose them
    on the training or validation split of your data, with "no CRF" among the candidates.

    Source: Krahenbuhl and Koltun 2011, "Efficient Inference in Fully Connected CRFs with Gaussian
    Edge Potentials" (arXiv 1210.5644); Chen et al. 2016, "DeepLab" (arXiv 1606.00915). Default
    parameters: the released DeepLabv2 ResNet-101.
    """

    def __init__(
        self,
        *,
        bilateral_weight: float = 4.0,
        bilateral_xy_std: float = 67.0,
        bilateral_rgb_std: float = 3.0,
        spatial_weight: float = 3.0,
        spatial_xy_std: float = 1.0,
        num_iterations: int = 10,
        mode: str = "fast",
    ) -> None:
        """Set up the model.

        Args:
            bilateral_weight: Initial weight of the appearance term, no unit, >= 0. (Learning does
                not keep either weight above zero.)
            bilateral_xy_std: Its standard deviation over positions, pixels.
            bilateral_rgb_std: Its standard deviation over colours, in units of 0 to 255.
            spatial_weight: Initial weight of the smoothness term, no unit, >= 0.
            spatial_xy_std: Its standard deviation over positions, pixels.
            num_iterations: Updates after Q_0 = softmax(logits), >= 0.
            mode: "fast" filters with the permutohedral lattice and a truncated Gaussian, in time
                and memory linear in the number of pixels. "exact" sums over all pairs of pixels:
                time grows with the square of their number, memory does not; for up to about
                240 x 180 pixels on a CPU.

        Raises:
            UsageError: If a number is out of its range or the mode is unknown.
        """
        super().__init__()
        _check_settings(
            stds={
                "bilateral_xy_std": bilateral_xy_std,
                "bilateral_rgb_std": bilateral_rgb_std,
                "spatial_xy_std": spatial_xy_std,
            },
            weights={"bilateral_weight": bilateral_weight, "spatial_weight": spatial_weight},
            num_iterations=num_iterations,
            mode=mode,
        )
        self.bilateral_weight = nn.Parameter(torch.tensor(float(bilateral_weight)))
        self.spatial_weight = nn.Parameter(torch.tensor(float(spatial_weight)))
        self.bilateral_xy_std = bilateral_xy_std
        self.bilateral_rgb_std = bilateral_rgb_std
        self.spatial_xy_std = spatial_xy_std
        self.num_iterations = num_iterations
        self.mode = mode

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Infer the marginals of each image.

        Args:
            logits: Scores, floating point, (N, K, H, W), K >= 2, all finite.
            images: The images the logits belong to, RGB, uint8, (N, 3, H, W).

        Returns:
            Marginals Q, (N, K, H, W), non-negative with sum 1 over the classes; float64 for
            float64 logits, else float32.

        Raises:
            UsageError: If a shape, a type, a device or a value is not as described, or (fast) the
                standard deviations are too small for an image of this size.
        """
        _check_inputs(logits, images, weights_device=self.bilateral_weight.device)
        dtype = torch.promote_types(logits.dtype, torch.float32)
        # Autocast would round the messages to half precision.
        with torch.autocast(logits.device.type, enabled=False):
            log_probabilities = F.log_softmax(logits.to(dtype), dim=1)
            marginals = [
                self._infer(scores.flatten(1), image)
                for scores, image in zip(log_probabilities, images, strict=True)
            ]
            return torch.stack(marginals).view_as(log_probabilities)

    def extra_repr(self) -> str:
        """Show the settings that are not parameters."""
        return (
            f"bilateral_xy_std={self.bilateral_xy_std}, "
            f"bilateral_rgb_std={self.bilateral_rgb_std}, "
            f"spatial_xy_std={self.spatial_xy_std}, "
            f"num_iterations={self.num_iterations}, mode={self.mode!r}"
        )

    def _infer(self, log_probabilities: Tensor, image: Tensor) -> Tensor:
        """Infer the marginals (K, P) of one image from its log probabilities (K, P)."""
        dtype = log_probabilities.dtype
        with torch.no_grad():
            ones = torch.ones_like(log_probabilities[0])[:, None]
            kernels = _KERNELS[self.mode](self, image, dtype)
            bilateral, spatial = (SymmetricallyNormalised(kernel, ones) for kernel in kernels)
        terms = [
            (self.bilateral_weight.to(dtype), bilateral),
            (self.spatial_weight.to(dtype), spatial),
        ]
        return mean_field(log_probabilities, terms, num_iterations=self.num_iterations)


def _fast_kernels(
    crf: DenseCRF, image: Tensor, dtype: torch.dtype
) -> tuple[LinearFilter, LinearFilter]:
    """Return bilateral and spatial kernel in linear time."""
    features = torch.cat(
        [
            pixel_positions(image).double() / crf.bilateral_xy_std,
            pixel_colours(image).double() / crf.bilateral_rgb_std,
        ],
        dim=1,
    )
    bilateral = PermutohedralFilter(features, dtype=dtype)
    return bilateral, _spatial_kernel(crf, image, dtype, TRUNCATION)


def _exact_kernels(
    crf: DenseCRF, image: Tensor, dtype: torch.dtype
) -> tuple[LinearFilter, LinearFilter]:
    """Return bilateral and spatial kernel without approximation."""
    bilateral = BruteForceBilateralFilter(
        image, xy_std=crf.bilateral_xy_std, rgb_std=crf.bilateral_rgb_std, dtype=dtype
    )
    return bilateral, _spatial_kernel(crf, image, dtype, math.inf)


def _spatial_kernel(
    crf: DenseCRF, image: Tensor, dtype: torch.dtype, truncation: float
) -> GaussianFilter:
    height, width = image.shape[-2:]
    return GaussianFilter(
        height,
        width,
        std=crf.spatial_xy_std,
        truncation=truncation,
        dtype=dtype,
        device=image.device,
    )


_Kernels = Callable[[DenseCRF, Tensor, torch.dtype], tuple[LinearFilter, LinearFilter]]
_KERNELS: dict[str, _Kernels] = {"fast": _fast_kernels, "exact": _exact_kernels}


def _check_settings(
    *, stds: dict[str, float], weights: dict[str, float], num_iterations: int, mode: str
) -> None:
    """Refuse what `DenseCRF.__init__` does not describe."""
    for name, std in stds.items():
        if not 0 < std < math.inf:
            raise UsageError(f"DenseCRF: {name} is {std}; it must be finite and above 0.")
    for name, weight in weights.items():
        if not 0 <= weight < math.inf:
            raise UsageError(
                f"DenseCRF: {name} is {weight}; it must be finite and not negative "
                "(0 turns the term off)."
            )
    if num_iterations < 0:
        raise UsageError(
            f"DenseCRF: num_iterations is {num_iterations}; it must not be negative "
            "(0 returns the softmax of the logits)."
        )
    if mode not in _KERNELS:
        raise unknown_name("DenseCRF mode", mode, _KERNELS)


def _check_inputs(logits: Tensor, images: Tensor, *, weights_device: torch.device) -> None:
    """Refuse what `DenseCRF.forward` does not describe."""
    if logits.ndim != 4 or logits.shape[1] < 2 or logits.numel() == 0:
        raise UsageError(
            f"DenseCRF: logits have shape {tuple(logits.shape)}; they must be (N, K, H, W), not "
            "empty, with K >= 2 classes. A single image needs logits[None] and images[None]."
        )
    num_images, _, height, width = logits.shape
    if images.shape != (num_images, 3, height, width):
        raise UsageError(
            f"DenseCRF: images have shape {tuple(images.shape)}; for logits of shape "
            f"{tuple(logits.shape)} they must be (N, 3, H, W) = {(num_images, 3, height, width)}: "
            "resize the logits to the images, not the images to the logits, and put the channels "
            "before height and width."
        )
    if images.dtype != torch.uint8:
        raise UsageError(
            f"DenseCRF: images are {images.dtype}; they must be uint8 RGB, 0 to 255. To undo a "
            "normalisation: (images * std + mean).mul(255).round().clamp(0, 255).to(torch.uint8) "
            "with the normalisation's mean and std, each (3, 1, 1)."
        )
    if not logits.is_floating_point():
        raise UsageError(
            f"DenseCRF: logits are {logits.dtype}; they must be floating point scores, not labels."
        )
    if len({logits.device, images.device, weights_device}) > 1:
        raise UsageError(
            f"DenseCRF: logits are on {logits.device}, images on {images.device} and the weights "
            f"on {weights_device}; move all to one device, for example crf.to(logits.device)."
        )
    # On a GPU this waits for the network, but building the lattice would do so too.
    if not torch.isfinite(logits).all():
        num_bad = int((~torch.isfinite(logits)).sum())
        raise UsageError(
            f"DenseCRF: {num_bad} of {logits.numel()} logits are infinite or not a number; the "
            "network has diverged, or a class was masked with -inf: use a large negative score, "
            "for example -1e4, instead."
        )
