"""The dense CRF as a module: marginals from a network's logits and the image they belong to."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from autoseg.crf.inference import infer_batch
from autoseg.crf.kernels import Kernel, Weight
from autoseg.crf.settings import Compatibility, CRFConfig


class DenseCRF(nn.Module):
    """Refine a segmentation by mean field inference in a fully connected CRF.

    The model, with p the position of a pixel in pixels and I its colour, 0 to 255:

        U(i, l)        = -log softmax(logits)(i, l)
        k_bilateral    = exp(-|p_i - p_j|^2 / (2 xy_std^2) - |I_i - I_j|^2 / (2 rgb_std^2))
        k_spatial      = exp(-|p_i - p_j|^2 / (2 spatial_xy_std^2))
        pairwise(i, j) = (bilateral_weight k_bilateral + spatial_weight k_spatial) mu(l_i, l_j)

    where each kernel, j = i included, is replaced by D^-1/2 K D^-1/2 with D = K 1, or as another
    `normalisation` says, and mu is [l_i != l_j] (Potts) or a `compatibility` matrix. The weights
    and the compatibility are parameters; the result is differentiable in them and in the logits,
    and has no gradient in the image or the standard deviations. docs/crf.md tells what to know
    before choosing parameters, a mode or a back end.

    Source: Krahenbuhl and Koltun 2011, "Efficient Inference in Fully Connected CRFs with Gaussian
    Edge Potentials" (arXiv 1210.5644); Chen et al. 2016, "DeepLab" (arXiv 1606.00915). Default
    parameters: the released DeepLabv2 ResNet-101. Weights per class and a compatibility that are
    learnt with the network: Zheng et al. 2015, "Conditional Random Fields as Recurrent Neural
    Networks" (arXiv 1502.03240).
    """

    def __init__(
        self,
        *,
        bilateral_weight: Weight = 4.0,
        bilateral_xy_std: float = 67.0,
        bilateral_rgb_std: float = 3.0,
        spatial_weight: Weight = 3.0,
        spatial_xy_std: float = 1.0,
        num_iterations: int = 10,
        mode: str = "fast",
        normalisation: str = "symmetric",
        compatibility: Compatibility | None = None,
        additional_kernels: Sequence[Kernel] = (),
        tolerance: float | None = None,
        subsample_above: float | None = 100.0,
        backend: str = "auto",
        recompute: bool = False,
    ) -> None:
        """Set up the model.

        The arguments are the fields of `CRFConfig`, which says what each means, in what unit and
        within what range; docs/crf.md has the reasons. They stay as `settings`, one value.

        Raises:
            UsageError: If a number is out of its range or a name is unknown.
        """
        super().__init__()
        self.settings = CRFConfig(
            bilateral_weight=bilateral_weight,
            bilateral_xy_std=bilateral_xy_std,
            bilateral_rgb_std=bilateral_rgb_std,
            spatial_weight=spatial_weight,
            spatial_xy_std=spatial_xy_std,
            num_iterations=num_iterations,
            mode=mode,
            normalisation=normalisation,
            compatibility=compatibility,
            additional_kernels=additional_kernels,
            tolerance=tolerance,
            subsample_above=subsample_above,
            backend=backend,
            recompute=recompute,
        )
        weights = [_parameter(kernel.weight) for kernel in self.settings.kernels]
        self.bilateral_weight, self.spatial_weight, *additional_weights = weights
        self.additional_weights = nn.ParameterList(additional_weights)
        start = self.settings.compatibility
        self.compatibility = None if start is None else _parameter(start)
        # All fields as an operator takes them, written here where nothing is traced. Save the
        # compatibility: an operator is given the present one as a tensor.
        self.settings_text = replace(self.settings, compatibility=None).to_json()

    @property
    def weights(self) -> list[Tensor]:
        """The present weights, in the order of `settings.kernels`."""
        return [self.bilateral_weight, self.spatial_weight, *self.additional_weights]

    def forward(self, logits: Tensor, images: Tensor) -> Tensor:
        """Infer the marginals of each image.

        Args:
            logits: Scores, floating point, (N, K, H, W), K >= 2, all finite.
            images: The images the logits belong to, RGB from 0 to 255, uint8 or floating point,
                (N, 3, H, W).

        Returns:
            Marginals Q, (N, K, H, W), non-negative with sum 1 over the classes; float64 for
            float64 logits, else float32.

        Raises:
            UsageError: If a shape, a type, a device or a value is not as described, (lattice
                modes) the standard deviations are too small for an image of this size, the
                memory cannot suffice, or the compiled kernels that were asked for are not at hand.
        """
        return infer_batch(
            self.settings,
            logits,
            images,
            weights=self.weights,
            compatibility=self.compatibility,
            as_logarithm=False,
        )

    def log_marginals(
        self, logits: Tensor, images: Tensor, *, num_iterations: int | None = None
    ) -> Tensor:
        """Infer the logarithm of the marginals: logits of which the marginals are the softmax.

        For a loss: it is finite where a probability rounds to 0, and has its gradient there. Only
        the compiled kernels without a gradient stop at the smallest normal number, log Q = -87.3.
        With a `tolerance`, the last update follows the one that stops.

        Args:
            logits: Scores of the classes, floating point, (N, K, H, W), as `forward` takes them.
            images: The images they belong to, (N, 3, H, W), as `forward` takes them.
            num_iterations: Updates, for this call alone; None for the module's own.

        Returns:
            log Q, (N, K, H, W); float64 for float64 logits, else float32.

        Raises:
            UsageError: If logits and images are not as described, or a logit is not finite.
        """
        return infer_batch(
            self.settings.with_iterations(num_iterations),
            logits,
            images,
            weights=self.weights,
            compatibility=self.compatibility,
            as_logarithm=True,
        )

    def extra_repr(self) -> str:
        """Show the settings; the weights among them are the initial ones."""
        return str(self.settings)


def _parameter(start: Weight | Compatibility) -> nn.Parameter:
    return nn.Parameter(torch.as_tensor(start, dtype=torch.float32))
