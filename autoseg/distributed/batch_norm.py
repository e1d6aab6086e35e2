"""Batch norm over the images of all processes."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase

from autoseg.distributed.group import num_processes, speaking
from autoseg.errors import UsageError

_OVER = (0, 2, 3)  # of (N, C, H, W): all but the channels


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of the whole batch.

    Equals torch's BatchNorm2d over the images of all processes together. torch's own SyncBatchNorm
    has no CPU form; this is one definition for all devices. In evaluation it is BatchNorm2d.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise maps (N, C, H, W)."""
        if not self.training or num_processes() == 1:
            return super().forward(input)
        output, mean, var = _Synced.apply(input, self.weight, self.bias, self.eps)  # pyright: ignore[reportGeneralTypeIssues]
        if self.track_running_stats:
            assert self.running_mean is not None and self.running_var is not None
            assert self.num_batches_tracked is not None and self.momentum is not None
            self.num_batches_tracked.add_(1)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_(var.to(self.running_var), self.momentum)
        return output


class _Synced(torch.autograd.Function):
    """Source: Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 1 and the gradients after it."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, weight: Tensor, bias: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the normalised maps, and mean and unbiased variance of the whole batch."""
        precise = _precise(maps)
        channels = maps.shape[1]
        var, mean = torch.var_mean(precise, dim=_OVER, correction=0)
        own = torch.cat([mean, var, mean.new_full((1,), maps.numel() // channels)])
        parts = [torch.empty_like(own) for _ in range(num_processes())]
        with speaking():
            dist.all_gather(parts, own)
        means, variances, counts = torch.stack(parts).split([channels, channels, 1], dim=1)
        count = counts.sum()
        # Squares around the common mean, not squares less its square: nothing cancels.
        mean = (means * counts).sum(0) / count
        squares = ((variances + (means - mean).square()) * counts).sum(0)
        inverse = (squares / count + eps).rsqrt()
        ctx.save_for_backward(maps, weight, mean, inverse, count)
        unbiased = squares / (count - 1)
        ctx.mark_non_differentiable(mean, unbiased)
        output = (precise - _row(mean)) * _row(inverse * weight) + _row(bias)
        return output.to(maps.dtype), mean, unbiased

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        """Differentiate by maps, weight and bias; dtypes are those of the forward pass."""
        maps, weight, mean, inverse, count = ctx.saved_tensors
        normalised = (_precise(maps) - _row(mean)) * _row(inverse)
        precise = _precise(grad)
        # Weight and bias get this process's part: `sum_gradients_` adds up the others'.
        grad_bias = precise.sum(_OVER)
        grad_weight = (precise * normalised).sum(_OVER)
        sums = torch.cat([grad_bias, grad_weight])
        with speaking():
            dist.all_reduce(sums)
        common_bias, common_weight = (sums / count).chunk(2)
        centred = precise - _row(common_bias) - normalised * _row(common_weight)
        grad_maps = centred * _row(inverse * weight)
        return (
            grad_maps.to(maps.dtype),
            grad_weight.to(weight.dtype),
            grad_bias.to(weight.dtype),
            None,
        )


def _precise(maps: Tensor) -> Tensor:
    return maps if maps.dtype == torch.float64 else maps.float()


def _row(channels: Tensor) -> Tensor:
    return channels[:, None, None]  # (C,) -> (C, 1, 1)


def sync_batch_norm_(network: nn.Module) -> None:
    """Make each BatchNorm2d of a network a `SyncedBatchNorm2d`, with its own tensors and names.

    Raises:
        UsageError: If the network has a batch norm of another kind.
    """
    if num_processes() == 1:
        return
    for name, module in network.named_modules():
        if type(module) is nn.BatchNorm2d and module.affine and module.momentum is not None:
            # The class alone: parameters, buffers, hooks and the network's own references stay.
            module.__class__ = SyncedBatchNorm2d
        elif isinstance(module, _BatchNorm) and not isinstance(module, SyncedBatchNorm2d):
            raise UsageError(
                f"--batch-norm synced: {name} is {module}, and only BatchNorm2d with weights and a "
                "momentum can be synced; use --batch-norm per-device."
            )


def running_statistics(network: nn.Module) -> list[Tensor]:
    """List running means and variances of a network's batch norms."""
    norms = [module for module in network.modules() if isinstance(module, _NormBase)]
    pairs = [(norm.running_mean, norm.running_var) for norm in norms]
    return [tensor for pair in pairs for tensor in pair if tensor is not None]
