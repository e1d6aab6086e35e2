"""Scenes to refine, and the dense CRF by its equations, one pair of pixels at a time."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from autoseg.crf import BilateralKernel, CRFConfig, SpatialKernel
from autoseg.crf.kernels import Kernel
from autoseg.crf.linear import LinearFilter

SETTINGS: dict[str, Any] = {
    "bilateral_weight": 2.5,
    "bilateral_xy_std": 4.0,
    "bilateral_rgb_std": 40.0,
    "spatial_weight": 1.5,
    "spatial_xy_std": 1.2,
    "num_iterations": 3,
}


def settings_with(**changes: Any) -> dict[str, Any]:
    """Return the settings with some of them changed."""
    return SETTINGS | changes


def for_kernels(
    like: Tensor,
    *,
    bilateral: Sequence[tuple[float | Tensor, float, float]],
    spatial: Sequence[tuple[float | Tensor, float]],
    compatibility: Tensor | None = None,
    **settings: Any,
) -> tuple[list[tuple[Kernel, Tensor]], dict[str, Any]]:
    """Return terms and keyword arguments for `native_marginals` and `triton_marginals`.

    Unlike a `DenseCRF` these take any number of kernels of each kind, none as well.

    Args:
        like: Gives the weights their device.
        bilateral: Weight, xy_std and rgb_std of each kernel; the weight is a number or (K,).
        spatial: Weight and xy_std of each kernel.
        compatibility: mu, (K, K).
        settings: Other fields of `CRFConfig`. Every pixel is computed unless they say otherwise.
    """
    terms: list[tuple[Kernel, Tensor]] = []
    for weight, xy_std, rgb_std in bilateral:
        kernel = BilateralKernel(weight=0.0, xy_std=xy_std, rgb_std=rgb_std)
        terms.append((kernel, torch.as_tensor(weight, device=like.device)))
    for weight, xy_std in spatial:
        kernel = SpatialKernel(weight=0.0, xy_std=xy_std)
        terms.append((kernel, torch.as_tensor(weight, device=like.device)))
    fields: dict[str, Any] = {"subsample_above": None} | settings
    chosen = CRFConfig(**fields)
    return terms, {"compatibility": compatibility, "settings": chosen}


def smooth_noise(num_channels: int, size: tuple[int, int], scale: int, seed: int) -> Tensor:
    """Normal noise at 1 / scale of the size, resized: (num_channels, *size), float64."""
    generator = torch.Generator().manual_seed(seed)
    coarse_size = [max(2, length // scale + 1) for length in size]
    coarse = torch.randn(1, num_channels, *coarse_size, dtype=torch.float64, generator=generator)
    return F.interpolate(coarse, size=size, mode="bicubic")[0]


def scene(num_classes: int, size: tuple[int, int], seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw regions of colour with texture, and logits that find them only roughly.

    Returns:
        Logits, float64, (1, K, H, W), and image, uint8, (1, 3, H, W).
    """
    generator = torch.Generator().manual_seed(seed)
    labels = smooth_noise(num_classes, size, 8, seed).argmax(dim=0)
    colours = torch.rand(num_classes, 3, generator=generator, dtype=torch.float64) * 255
    image = colours[labels].permute(2, 0, 1) + 12 * smooth_noise(3, size, 2, seed + 1)
    one_hot = F.one_hot(labels, num_classes).permute(2, 0, 1)[None].double()
    blurred = F.avg_pool2d(one_hot, 5, stride=1, padding=2, count_include_pad=False)
    logits = 4 * blurred + smooth_noise(num_classes, size, 2, seed + 2)
    return logits, image.clamp(0, 255).to(torch.uint8)[None]


def kernel_by_loops(
    image: Tensor, xy_std: float, rgb_std: float, *, radius: float = math.inf
) -> Tensor:
    """K over all pairs of pixels of an image (3, H, W): float64, (P, P).

    Args:
        image: Colours from 0 to 255.
        xy_std: Standard deviation over positions.
        rgb_std: Standard deviation over colours; infinite for a spatial kernel.
        radius: Rows and columns that a pair may be apart before it weighs nothing.
    """
    _, height, width = image.shape
    sites = [(y, x, *image[:, y, x].tolist()) for y in range(height) for x in range(width)]
    rows = []
    for a in sites:
        row = []
        for b in sites:
            xy = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
            rgb = sum((s - t) ** 2 for s, t in zip(a[2:], b[2:], strict=True))
            is_near = max(abs(a[0] - b[0]), abs(a[1] - b[1])) <= radius
            exponent = -xy / (2 * xy_std**2) - rgb / (2 * rgb_std**2)
            row.append(math.exp(exponent) if is_near else 0.0)
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def marginals_by_loops(
    logits: Tensor, image: Tensor, settings: dict[str, Any], *, radius: float = math.inf
) -> Tensor:
    """Mean field by the equations for logits (K, H, W); settings are those of `DenseCRF`."""
    num_classes, height, width = logits.shape
    num_pixels = height * width
    kernels = [
        (settings["bilateral_weight"], settings["bilateral_xy_std"], settings["bilateral_rgb_std"]),
        (settings["spatial_weight"], settings["spatial_xy_std"], math.inf),
    ]
    for kernel in settings.get("additional_kernels", ()):
        rgb_std = kernel.rgb_std if isinstance(kernel, BilateralKernel) else math.inf
        kernels.append((kernel.weight, kernel.xy_std, rgb_std))

    terms = []
    for weight, xy_std, rgb_std in kernels:
        kernel = kernel_by_loops(image, xy_std, rgb_std, radius=radius).tolist()
        degree = [sum(row) for row in kernel]
        for i in range(num_pixels):
            for j in range(num_pixels):
                kernel[i][j] /= {
                    "symmetric": math.sqrt(degree[i] * degree[j]),
                    "before": degree[j],
                    "after": degree[i],
                    "none": 1.0,
                }[settings.get("normalisation", "symmetric")]
        weights = weight if isinstance(weight, list | tuple) else [weight] * num_classes
        terms.append((weights, kernel))

    compatibility = settings.get("compatibility")
    penalty = [[float(a != b) for b in range(num_classes)] for a in range(num_classes)]
    if compatibility is not None:
        classes = range(num_classes)
        penalty = [
            [(compatibility[a][b] + compatibility[b][a]) / 2 for b in classes] for a in classes
        ]

    def softmax(scores: list[float]) -> list[float]:
        exponentials = [math.exp(score - max(scores)) for score in scores]
        return [e / sum(exponentials) for e in exponentials]

    unary = logits.flatten(1).t().log_softmax(dim=1).tolist()
    q = [softmax(scores) for scores in unary]
    for _ in range(settings["num_iterations"]):
        updated = []
        for i in range(num_pixels):
            scores = list(unary[i])
            for weights, kernel in terms:
                for other in range(num_classes):
                    message = sum(kernel[i][j] * q[j][other] for j in range(num_pixels))
                    for label in range(num_classes):
                        scores[label] -= penalty[label][other] * weights[other] * message
            updated.append(softmax(scores))
        q = updated
    return torch.tensor(q, dtype=torch.float64).t().reshape(num_classes, height, width)


class HalvedGaussian(LinearFilter):
    """The spatial kernel at half resolution, as two dense matrices, float64."""

    def __init__(self, height: int, width: int, std: float) -> None:
        self._over_rows, self._over_columns = (
            self.matrix(length, std) for length in (height, width)
        )

    def product(self, values: Tensor) -> Tensor:
        maps = values.view(len(self._over_rows), len(self._over_columns), -1)
        filtered = torch.einsum("yi,xj,ijc->yxc", self._over_rows, self._over_columns, maps)
        return filtered.flatten(0, 1)

    def adjoint_product(self, values: Tensor) -> Tensor:
        return self.product(values)  # the matrices are symmetric

    @staticmethod
    def matrix(length: int, std: float) -> Tensor:
        """Interpolation times Gaussian times transposed interpolation, (L, L).

        The centre of cell c is at pixel 2 c + 1/2: pixels lie 1/4 of a cell beside one. Linear
        interpolation there has a variance of 3/4 pixels squared, going and coming.
        """
        pixel, cell = torch.arange(length), torch.arange(-1, math.ceil(length / 2) + 1)
        distance = (pixel[:, None] - 2 * cell - 0.5).abs()
        interpolation = (1 - distance / 2).clamp(min=0).double()
        variance = (std**2 - 1.5) / 4  # cells squared
        steps = (cell[:, None] - cell).double()
        gauss = std / (2 * variance**0.5) * torch.exp(-(steps**2) / (2 * variance))
        gauss[steps.abs() > math.ceil(3.5 * variance**0.5)] = 0
        return interpolation @ gauss @ interpolation.t()
