"""The implementations of one search step that are compared."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from autoseg.backends import BackendName
from autoseg.config import SearchConfig
from autoseg.strategies import Darts
from autoseg.supernet import Supernet
from autoseg.supernet.reference import reference_logits
from autoseg.training import autocast, segmentation_loss, tensor_float

from .peer import build_peer
from .setting import GRAPH_VARIANTS, Setting, Variant

IGNORE_INDEX = 255  # no pixel of the random labels has it


class SearchStep(Protocol):
    """The two half-steps of one first-order search step, on the same random batch each time."""

    def weights(self) -> None:
        """Forward, backward, SGD."""
        ...

    def architecture(self) -> None:
        """Forward, backward, Adam."""
        ...


class GraphedStep:
    """A search step of `Darts` that is replayed as one CUDA graph."""

    def __init__(self, supernet: Supernet, setting: Setting) -> None:
        """Build the optimizers and draw a batch."""
        self._darts = _build_darts(supernet, setting, cuda_graph=True)
        self._batch = _random_batch(setting)

    def both(self) -> None:
        """Make both half-steps; the first calls run kernel by kernel, and then one records."""
        self._darts.step(self._batch, self._batch, progress=0.0)


def build_step(setting: Setting, variant: Variant) -> SearchStep | GraphedStep:
    """Build a variant in training mode, with its optimizers and data.

    Raises:
        UsageError: If the variant needs kernels, or another project's checkout, that are not here.
    """
    torch.manual_seed(0)
    if variant == "peer":
        return _build_peer_step(setting)
    if variant == "reference":
        return _build_reference_step(setting)
    supernet = build_supernet(
        setting,
        backend="fused" if variant.startswith("fused") else "torch",
        recompute_cells=variant.endswith("-recompute"),
    )
    if variant in GRAPH_VARIANTS:
        return GraphedStep(supernet, setting)
    return _DartsStep(supernet, setting)


def build_supernet(
    setting: Setting, *, backend: BackendName, recompute_cells: bool = False
) -> Supernet:
    """Build the project's supernet, in training mode, on the device."""
    supernet = Supernet(
        setting.space,
        num_classes=setting.num_classes,
        backend=backend,
        recompute_cells=recompute_cells,
    )
    return supernet.to(setting.device).train()


class _DartsStep:
    """The step of `python -m autoseg.search`, gradient clipping included, kernel by kernel."""

    def __init__(self, supernet: Supernet, setting: Setting) -> None:
        self._darts = _build_darts(supernet, setting, cuda_graph=False)
        self._batch = _random_batch(setting)

    def weights(self) -> None:
        self._darts.weight_step(*self._batch)

    def architecture(self) -> None:
        self._darts.architecture_step(*self._batch)


def _build_darts(supernet: Supernet, setting: Setting, *, cuda_graph: bool) -> Darts:
    return Darts(
        supernet,
        SearchConfig(precision=setting.precision, cuda_graph=cuda_graph),
        ignore_index=IGNORE_INDEX,
        device=torch.device(setting.device),
    )


class _PlainStep:
    """A step as public scripts write it: both half-steps compute the gradients of everything."""

    def __init__(
        self,
        forward: Callable[[Tensor], Tensor],
        weight_parameters: Sequence[nn.Parameter],
        arch_parameters: Sequence[nn.Parameter],
        setting: Setting,
    ) -> None:
        config = SearchConfig()
        self._forward = forward
        self._setting = setting
        self._weight_optimizer = torch.optim.SGD(
            weight_parameters,
            lr=config.weight_lr,
            momentum=config.momentum,
            weight_decay=config.weight_decay,
        )
        self._arch_optimizer = torch.optim.Adam(
            arch_parameters, lr=config.arch_lr, weight_decay=config.arch_weight_decay
        )
        self._images, self._target = _random_batch(setting)

    def weights(self) -> None:
        self._half_step(self._weight_optimizer)

    def architecture(self) -> None:
        self._half_step(self._arch_optimizer)

    def _half_step(self, optimizer: torch.optim.Optimizer) -> None:
        # The other group's gradients add up, unused, until its own half-step clears them.
        optimizer.zero_grad()
        precision, device = self._setting.precision, torch.device(self._setting.device)
        with tensor_float(precision):
            with autocast(precision, device):
                logits = self._forward(self._images)
            segmentation_loss(logits, self._target, ignore_index=IGNORE_INDEX).backward()
        optimizer.step()


def _build_peer_step(setting: Setting) -> SearchStep:
    assert setting.peer is not None
    supernet = build_peer(
        setting.peer, setting.space, num_classes=setting.num_classes, device=setting.device
    ).train()
    return _PlainStep(
        supernet,
        supernet.weight_parameters(),  # pyright: ignore[reportCallIssue]  # known at run time only
        supernet.arch_parameters(),  # pyright: ignore[reportCallIssue]
        setting,
    )


def _build_reference_step(setting: Setting) -> SearchStep:
    supernet = build_supernet(setting, backend="torch")
    return _PlainStep(
        lambda images: reference_logits(supernet, images, training=True),
        supernet.weight_parameters(),
        supernet.arch_parameters(),
        setting,
    )


def _random_batch(setting: Setting) -> tuple[Tensor, Tensor]:
    """Draw normalised images (N, 3, H, W) and labels, int64, (N, H, W)."""
    shape = (setting.crop, setting.crop)
    images = torch.randn(setting.batch_size, 3, *shape, device=setting.device)
    target = torch.randint(setting.num_classes, (setting.batch_size, *shape), device=setting.device)
    return images, target
