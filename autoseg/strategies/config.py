"""Settings of a search, and their presets."""

from dataclasses import dataclass

from autoseg.architecture import BetaNorm
from autoseg.errors import UsageError
from autoseg.supernet import BackendName
from autoseg.training import Precision


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchConfig:
    """Settings of a first-order differentiable search; the defaults are the paper's.

    Source: Auto-DeepLab, arXiv 1901.02985, section 5.1.
    """

    num_epochs: int = 40
    """Epochs over trainA, the half of the training images that trains the weights."""
    arch_start_epoch: int = 20
    """Epoch from which alpha and beta are trained as well, on the other half, trainB."""
    batch_size: int = 2
    """Images a half-step; with 1, image pooling uses running statistics."""
    crop_size: tuple[int, int] = (321, 321)
    """Height and width of the training crops, in pixels."""
    weight_lr: float = 0.025
    """Initial learning rate of the weights (SGD); cosine decay."""
    weight_lr_final: float = 0.001
    """Learning rate of the weights at the end."""
    momentum: float = 0.9
    """Momentum of the weights' SGD."""
    weight_decay: float = 3e-4
    """L2 penalty of the weights."""
    arch_lr: float = 3e-3
    """Learning rate of alpha and beta (Adam, betas 0.9 and 0.999)."""
    arch_weight_decay: float = 1e-3
    """L2 penalty of alpha and beta."""
    gradient_clip: float = 5.0
    """Largest norm of the weights' gradient (DARTS, section A.1.2); 0 switches clipping off."""
    image_scale: float = 1.0
    """Factor on the images' sides in training and prediction: the paper halves Cityscapes, 0.5."""
    scale_range: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest random scale of the augmentation, on top of image_scale; the paper names
    random crops alone."""
    val_images: int = 0
    """Images of the val split that each epoch's validation uses, evenly spread; 0 takes all."""
    beta_norm: BetaNorm = "paper"
    """Normalisation of beta: softmax over the edges that leave a node (paper), or the same times
    a third of their number, as public re-implementations do (two-thirds)."""
    backend: BackendName = "auto"
    """What evaluates the supernet: torch (plain operators), fused (kernels compiled for the
    device: C++ on the CPU, Triton on an NVIDIA GPU), or auto, the fastest that is at hand."""
    recompute_cells: bool = False
    """Evaluate cells again in the backward pass: less memory, more time."""
    num_workers: int = 0
    """Processes that load images; 0 loads in the training process."""
    precision: Precision = "auto"
    """fp32, tf32 (NVIDIA GPUs from Ampere on) or bf16; auto: bf16 on a GPU that has it, fp32
    elsewhere."""
    cuda_graph: bool = False
    """Record the step once and replay it as one CUDA graph, so that a GPU need not wait for the
    launch of each kernel; for GPUs only. It keeps the memory of a step for itself."""
    seed: int = 0
    """Seed of weights, alpha, beta, the split into trainA and trainB, order and augmentation."""

    def __post_init__(self) -> None:
        for field in ("num_epochs", "batch_size"):
            if getattr(self, field) < 1:
                raise UsageError(f"{field} = {getattr(self, field)}: it must be at least 1.")
        for field in ("weight_lr", "arch_lr", "image_scale"):
            if not getattr(self, field) > 0:
                raise UsageError(f"{field} = {getattr(self, field)}: it must be positive.")
        for field in ("gradient_clip", "val_images", "num_workers", "arch_start_epoch"):
            if getattr(self, field) < 0:
                raise UsageError(f"{field} = {getattr(self, field)}: it must not be negative.")
        if self.arch_start_epoch >= self.num_epochs:
            raise UsageError(
                f"arch_start_epoch = {self.arch_start_epoch}, but there are only {self.num_epochs} "
                "epochs, so that alpha and beta would never be trained; use --arch-start-epoch "
                f"{self.num_epochs // 2}."
            )


SEARCH_PRESETS: dict[str, SearchConfig] = {
    "paper": SearchConfig(),
    "tiny": SearchConfig(
        num_epochs=8,
        arch_start_epoch=4,
        batch_size=8,
        crop_size=(64, 64),
        scale_range=(0.75, 1.5),
        val_images=16,
        weight_lr=0.1,
    ),
}
"""Settings by name: "paper" as published, "tiny" for minutes on two CPU cores."""
