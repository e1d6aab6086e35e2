"""The dense CRF as a module: marginals from a network's logits and the image they belong to."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from autoseg.crf.backend import check_backend, choose_implementation
from autoseg.crf.inference import Inference
from autoseg.crf.inputs import check_finite, check_inputs
from autoseg.crf.kernels import (
    MODES,
    BilateralKernel,
    Implementation,
    Kernel,
    SpatialKernel,
    Weight,
    check_std,
    check_weight,
)
from autoseg.crf.linear import NORMALISATIONS
from autoseg.crf.memory import check_memory, least_bytes
from autoseg.errors import UsageError, unknown_name


class DenseCRF(nn.Module):
    """Refine a segmentation by mean field inference in a fully connected CRF.

    The model, with p the position of a pixel in pixels and I its colour, 0 to 255:

        U(i, l)        = -log softmax(logits)(i, l)
        k_bilateral    = exp(-|p_i - p_j|^2 / (2 xy_std^2) - |I_i - I_j|^2 / (2 rgb_std^2))
        k_spatial      = exp(-|p_i - p_j|^2 / (2 spatial_xy_std^2))
        pairwise(i, j) = (bilateral_weight k_bilateral + spatial_weight k_spatial) mu(l_i, l_j)

    where each kernel, j = i included, is replaced by D^-1/2 K D^-1/2 with D = K 1, or as another
    `normalisation` says, and mu is [l_i != l_j] (Potts) or a `compatibility` matrix. The equations
    of the updates are those of `autoseg.crf.mean_field.mean_field`. These are the conventions of
    pydensecrf with its default normalisation and a scalar compatibility, save one: the
    probabilities are not clipped at 1e-5 before the logarithm, because logits give it exactly.

    `bilateral_weight`, `spatial_weight`, `additional_weights` and `compatibility` are parameters;
    the result is differentiable in them and in the logits. It has no gradient in the image or the
    standard deviations. An update keeps one (K, P) tensor for the gradient, or none with
    `recompute`. Inference is fastest under `torch.no_grad()`.

    The default parameters are DeepLab's; they were chosen for PASCAL VOC and for that network.
    Stock parameters can make the output of a good network worse, thin objects first: choose them
    on the training or validation split of your data, with "no CRF" among the candidates.

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
        compatibility: Tensor | Sequence[Sequence[float]] | None = None,
        additional_kernels: Sequence[Kernel] = (),
        tolerance: float | None = None,
        subsample_above: float | None = 100.0,
        backend: str = "auto",
        recompute: bool = False,
    ) -> None:
        """Set up the model.

        Args:
            bilateral_weight: Initial weight of the appearance term, no unit, >= 0; or one for each
                class: the message about class l is multiplied by the l-th. (Learning does not
                keep any weight above zero.)
            bilateral_xy_std: Its standard deviation over positions, pixels.
            bilateral_rgb_std: Its standard deviation over colours, in units of 0 to 255.
            spatial_weight: Initial weight or weights of the smoothness term, no unit, >= 0.
            spatial_xy_std: Its standard deviation over positions, pixels.
            num_iterations: Updates after Q_0 = softmax(logits), >= 0.
            mode: "fast" filters with the permutohedral lattice and a truncated Gaussian, in time
                and memory linear in the number of pixels. "accurate" does so with a lattice that
                is closed by its blur neighbours (`PermutohedralFilter`): less than half the error,
                and slower, the more so the smaller the colour deviation. "exact" sums over all
                pairs of pixels: time grows with the square of their number, memory does not; for
                up to about 240 x 180 pixels on a CPU. "local" sums over the window of 11 x 11
                pixels around each, whatever the deviations: for comparison with ConvCRF
                (Teichmann and Cipolla 2018, arXiv 1805.04777), whose window it has and nothing
                else. Published ConvCRF does not normalise its kernels, leaves out the position
                in its default colour kernel, filters log-probabilities in the first update, mixes
                unary and message 0.8 to 0.2 and returns scores instead of a distribution.
            normalisation: "symmetric" (D^-1/2 K D^-1/2), "before" (K D^-1), "after" (D^-1 K) or
                "none", pydensecrf's names. With "none" a lattice keeps its own scale, on
                photographs about 0.6 of the kernel, so that modes differ by more than their error.
            compatibility: Initial mu, (K, K), finite: the penalty of each label for each other,
                no unit. Its symmetric part (mu + mu^T) / 2 is what is used, for all kernels. None
                for Potts, which is the matrix of ones with a diagonal of zeros and not learnt.
            additional_kernels: Any number of kernels beside the two.
            tolerance: Stop an image's updates after one that changes no probability by this much;
                None never does. On a GPU, each update then waits for the one before.
            subsample_above: Row sum of the bilateral kernels, about the number of pixels that are
                like a pixel, above which half of them are enough; None: never. Where all pixels of
                a block of 2 x 16 exceed it, the compiled kernels for CPUs compute every other one
                in an update and the others in the next, and each counts for two; the last update
                computes all. A gradient, a `tolerance`, normalisation "none", spatial kernels with
                an xy_std below 1 and other back ends compute every pixel in every update. With 100
                the mean error against the exact sums changes by less than 1 % (`results/crf`).
            backend: "fused" for kernels that are made for the device, "torch" for plain operators,
                "auto" for the fastest at hand. In float32 there are compiled kernels for the
                lattice modes on CPUs, and Triton kernels for these and "exact" on NVIDIA devices.
                For a gradient they apply the bilateral kernels and plain operators do the rest.
                Without one they do everything, with any kernels, weights, normalisation and
                compatibility, and a lattice mode takes spatial kernels at half resolution where
                xy_std >= 2, which moves marginals by less than a hundredth of the lattice's error.
                Every call gives the same bits on one GPU, and on CPUs with one number of threads;
                another number of threads moves float32 marginals by rounding, less than 2e-5,
                or by one block's if rounding decides whether it is above `subsample_above`.
            recompute: Keep nothing of the updates for the gradient, and run some of them again in
                the backward pass: memory for any number of updates is that of about two, and the
                gradient is the same, but cannot be differentiated again. See
                `autoseg.crf.recompute` for the cost.

        Raises:
            UsageError: If a number is out of its range or a name is unknown.
        """
        super().__init__()
        for name, std in {
            "bilateral_xy_std": bilateral_xy_std,
            "bilateral_rgb_std": bilateral_rgb_std,
            "spatial_xy_std": spatial_xy_std,
        }.items():
            check_std(f"DenseCRF: {name}", std)
        check_weight("DenseCRF: bilateral_weight", bilateral_weight)
        check_weight("DenseCRF: spatial_weight", spatial_weight)
        _check_choices(num_iterations, mode, normalisation, tolerance)
        if subsample_above is not None and not 0 <= subsample_above < math.inf:
            raise UsageError(
                f"DenseCRF: subsample_above is {subsample_above}; it must be finite and at least "
                "0, or None to compute every pixel in every update."
            )
        check_backend(backend, mode=mode)

        self.kernels: tuple[Kernel, ...] = (
            BilateralKernel(
                weight=bilateral_weight, xy_std=bilateral_xy_std, rgb_std=bilateral_rgb_std
            ),
            SpatialKernel(weight=spatial_weight, xy_std=spatial_xy_std),
            *additional_kernels,
        )
        weights = [_weight_parameter(kernel.weight) for kernel in self.kernels]
        self.bilateral_weight, self.spatial_weight, *additional_weights = weights
        self.additional_weights = nn.ParameterList(additional_weights)
        self.compatibility = _compatibility_parameter(compatibility)
        self.num_iterations = num_iterations
        self.mode = mode
        self.normalisation = normalisation
        self.tolerance = tolerance
        self.subsample_above = subsample_above
        self.backend = backend
        self.recompute = recompute
        self._num_classes = self._find_num_classes()

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
        return self._infer_batch(logits, images, self.num_iterations, as_logarithm=False)

    def log_marginals(
        self, logits: Tensor, images: Tensor, *, num_iterations: int | None = None
    ) -> Tensor:
        """Infer the logarithm of the marginals: logits of which the marginals are the softmax.

        For a loss: it is finite where a probability rounds to 0, and has its gradient there. Only
        the compiled kernels without a gradient stop at the smallest normal number, log Q = -87.3.
        With a `tolerance`, the last update follows the one that stops.

        Args:
            logits: As in `forward`.
            images: As in `forward`.
            num_iterations: Updates, for this call alone; None for the module's own.

        Returns:
            log Q, (N, K, H, W); float64 for float64 logits, else float32.

        Raises:
            UsageError: As in `forward`.
        """
        if num_iterations is None:
            num_iterations = self.num_iterations
        _check_num_iterations(num_iterations)
        return self._infer_batch(logits, images, num_iterations, as_logarithm=True)

    def _infer_batch(
        self, logits: Tensor, images: Tensor, num_iterations: int, *, as_logarithm: bool
    ) -> Tensor:
        """Infer the marginals (N, K, H, W), or their logarithm, image by image."""
        check_inputs(logits, images, weights_device=self.bilateral_weight.device)
        if self._num_classes not in (None, logits.shape[1]):
            raise UsageError(
                f"DenseCRF: logits of shape {tuple(logits.shape)} have {logits.shape[1]} classes; "
                f"this CRF's weights or compatibility are for {self._num_classes}."
            )
        dtype = torch.promote_types(logits.dtype, torch.float32)
        implementation = choose_implementation(
            self.backend, mode=self.mode, device_type=logits.device.type, dtype=dtype
        )
        needs_gradient = torch.is_grad_enabled() and (
            logits.requires_grad or any(weight.requires_grad for weight in self.parameters())
        )
        inference = Inference(
            mode=self.mode,
            normalisation=self.normalisation,
            num_iterations=num_iterations,
            tolerance=self.tolerance,
            subsample_above=self.subsample_above,
            recompute=self.recompute and needs_gradient,
            as_logarithm=as_logarithm,
        )
        in_one_call = implementation != "torch" and not needs_gradient
        self._check_memory(
            logits, dtype, num_iterations, needs_gradient, implementation if in_one_call else None
        )
        sees_finite = in_one_call and implementation == "native"  # as it reads them
        if not sees_finite:
            check_finite(logits)
        # Autocast would round the messages to half precision.
        with torch.autocast(logits.device.type, enabled=False):
            infer = inference.in_one_call if in_one_call else inference.by_filters
            try:
                marginals = [
                    self._infer(inference, infer, scores.to(dtype), image, implementation)
                    for scores, image in zip(logits, images, strict=True)
                ]
            except FloatingPointError:
                check_finite(logits)
                raise UsageError(
                    f"DenseCRF: logits up to {logits.abs().max().item():.3g} are too large for "
                    "float32; scale them down."
                ) from None
            return torch.stack(marginals) if len(marginals) > 1 else marginals[0][None]

    def extra_repr(self) -> str:
        """Show the settings; the weights among them are the initial ones."""
        return (
            f"kernels={self.kernels}, num_iterations={self.num_iterations}, mode={self.mode!r}, "
            f"normalisation={self.normalisation!r}, tolerance={self.tolerance}, "
            f"subsample_above={self.subsample_above}, backend={self.backend!r}, "
            f"recompute={self.recompute}"
        )

    def _infer(
        self,
        inference: Inference,
        infer: Callable[..., Tensor],
        logits: Tensor,
        image: Tensor,
        implementation: Implementation,
    ) -> Tensor:
        """Infer the marginals (K, H, W) of one image (3, H, W) from its logits (K, H, W)."""
        terms = list(zip(self.kernels, self._weights(), strict=True))
        model = (logits, image, terms, self._symmetric_compatibility())
        try:
            return infer(*model, implementation)
        except NotImplementedError as error:  # an image too large for the kernels' integers
            if self.backend == "fused":
                raise UsageError(f"DenseCRF: {error} Use backend='torch'.") from None
            if not torch.isfinite(logits).all():
                raise FloatingPointError from None
            return inference.by_filters(*model, "torch")

    def _check_memory(
        self,
        logits: Tensor,
        dtype: torch.dtype,
        num_iterations: int,
        needs_gradient: bool,
        in_one_call: Implementation | None,
    ) -> None:
        num_images, num_classes, height, width = logits.shape
        needed = least_bytes(
            (num_images, num_classes, height, width),
            dtype=dtype,
            mode=self.mode,
            num_iterations=num_iterations if needs_gradient and not self.recompute else 0,
            in_one_call=in_one_call,
        )
        check_memory(needed, logits.device, needs_gradient=needs_gradient)

    def _weights(self) -> list[Tensor]:
        """Return the weights in the order of the kernels."""
        return [self.bilateral_weight, self.spatial_weight, *self.additional_weights]

    def _symmetric_compatibility(self) -> Tensor | None:
        if self.compatibility is None:
            return None
        return (self.compatibility + self.compatibility.t()) / 2

    def _find_num_classes(self) -> int | None:
        """Return the K that the parameters are for, None if they are for any."""
        num_classes = {len(weight) for weight in self._weights() if weight.ndim == 1}
        if self.compatibility is not None:
            num_classes.add(len(self.compatibility))
        if len(num_classes) > 1:
            raise UsageError(
                "DenseCRF: weights per class and the compatibility must be for one number of "
                f"classes; these are for {sorted(num_classes)}."
            )
        return num_classes.pop() if num_classes else None


def _weight_parameter(weight: Weight) -> nn.Parameter:
    return nn.Parameter(torch.tensor(weight, dtype=torch.float32))


def _compatibility_parameter(
    compatibility: Tensor | Sequence[Sequence[float]] | None,
) -> nn.Parameter | None:
    if compatibility is None:
        return None
    matrix = torch.as_tensor(compatibility, dtype=torch.float32).detach().clone()
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise UsageError(
            f"DenseCRF: compatibility has shape {tuple(matrix.shape)}; it must be (K, K)."
        )
    # A tensor on the meta device has no values.
    if not matrix.is_meta and not torch.isfinite(matrix).all():
        raise UsageError("DenseCRF: compatibility must be finite; it has an infinity or NaN.")
    return nn.Parameter(matrix)


def _check_num_iterations(num_iterations: int) -> None:
    if num_iterations < 0:
        raise UsageError(
            f"DenseCRF: num_iterations is {num_iterations}; it must not be negative "
            "(0 returns the softmax of the logits)."
        )


def _check_choices(
    num_iterations: int, mode: str, normalisation: str, tolerance: float | None
) -> None:
    """Refuse numbers out of range and unknown names."""
    _check_num_iterations(num_iterations)
    if mode not in MODES:
        raise unknown_name("DenseCRF mode", mode, MODES)
    if normalisation not in NORMALISATIONS:
        raise unknown_name("DenseCRF normalisation", normalisation, NORMALISATIONS)
    if tolerance is not None and not 0 < tolerance < math.inf:
        raise UsageError(
            f"DenseCRF: tolerance is {tolerance}; it must be finite and above 0, or None to never "
            "stop early."
        )
