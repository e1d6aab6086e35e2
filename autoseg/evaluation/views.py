"""Several views of an image as one network, so that what is scored is what is timed and counted."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg.evaluation.predict import network_logits, predict_logits
from autoseg.evaluation.windows import Windows


@dataclass(frozen=True, kw_only=True, slots=True)
class Views:
    """How a network looks at an image."""

    scales: tuple[float, ...] = (1.0,)
    """Factors on the image's sides, on top of the image scale of the training."""
    flip: bool = False
    """Whether each is seen mirrored as well."""
    windows: Windows | None = None
    """How each is divided; None: it is seen as a whole."""

    def __str__(self) -> str:
        """Describe the views as the options that ask for them."""
        parts = []
        if self.scales != (1.0,):
            parts.append(f"scales {' '.join(f'{scale:g}' for scale in self.scales)}")
        if self.flip:
            parts.append("flip")
        if self.windows is not None:
            parts.append(f"windows of {self.windows.size}")
        return ", ".join(parts)

    def seen_by(self, network: nn.Module, *, image_scale: float) -> nn.Module:
        """Make a network that takes the image itself, and averages what another sees of its views.

        Args:
            network: In eval mode; maps (N, C, h, w) to logits (N, K, h, w) for any h and w.
            image_scale: Factor on the image's sides in the training.

        Returns:
            In eval mode; its logits are those of `predict_logits`.
        """
        seeing = network if self.windows is None else _InWindows(network, self.windows)
        scales = [scale * image_scale for scale in self.scales]
        return _Averaged(seeing, scales, flip=self.flip).eval()


class _Averaged(nn.Module):
    def __init__(self, network: nn.Module, scales: Sequence[float], *, flip: bool) -> None:
        super().__init__()
        self.network = network
        self._scales, self._flip = tuple(scales), flip

    def forward(self, images: Tensor) -> Tensor:
        """Average the views' probabilities; (N, C, H, W) -> their logarithms (N, K, H, W)."""
        return predict_logits(self.network, images, scales=self._scales, flip=self._flip)


class _InWindows(nn.Module):
    """A network that sees an image window by window; see `Windows`."""

    def __init__(self, network: nn.Module, windows: Windows) -> None:
        super().__init__()
        self.network = network
        self._windows = windows

    def forward(self, images: Tensor) -> Tensor:
        """Put together what the windows give; (N, C, h, w) -> (N, K, h, w)."""
        height, width = images.shape[2:]
        columns = self._windows.along(width)
        rows = []
        for row in self._windows.along(height):
            parts = []
            for column in columns:
                part = images[:, :, row.start : row.stop, column.start : column.stop]
                logits = network_logits(self.network, part)
                parts.append(
                    logits[
                        :,
                        :,
                        row.kept_start - row.start : row.kept_stop - row.start,
                        column.kept_start - column.start : column.kept_stop - column.start,
                    ]
                )
            rows.append(torch.cat(parts, dim=3))
        return torch.cat(rows, dim=2)
