"""The operations in numpy and scipy, float64: slow, obvious, and the oracles of the tests.

Maps are (N, C, H, W). Nothing here uses `torch`'s operators or `autoseg`.
"""

import numpy as np
from scipy.signal import correlate2d

EPS = 1e-5  # of batch norm


def convolve(maps, weight, *, stride=1, dilation=1, groups=1):
    """Convolve with zeros outside the map, keeping its size, then take every `stride`-th pixel."""
    num_out, _, size, _ = weight.shape
    spread = np.zeros((*weight.shape[:2], *[dilation * (size - 1) + 1] * 2))
    spread[:, :, ::dilation, ::dilation] = weight
    inputs_per_group, outputs_per_group = maps.shape[1] // groups, num_out // groups
    result = np.zeros((maps.shape[0], num_out, *maps.shape[2:]))
    for n, out in np.ndindex(maps.shape[0], num_out):
        first = out // outputs_per_group * inputs_per_group
        for i in range(inputs_per_group):
            result[n, out] += correlate2d(maps[n, first + i], spread[out, i], mode="same")
    return result[:, :, ::stride, ::stride]


def pool(maps, statistic, *, stride):
    """Apply `np.nanmax` or `np.nanmean` to the pixels of each 3x3 window that are in the map."""
    padded = np.pad(maps, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return statistic(windows, axis=(-2, -1))[:, :, ::stride, ::stride]


def positions(num_in, num_out, *, align_corners):
    """Tell where the centres of the output's pixels lie, in pixels of the input."""
    if align_corners:
        return np.linspace(0, num_in - 1, num_out) if num_out > 1 else np.zeros(1)
    return (np.arange(num_out) + 0.5) * num_in / num_out - 0.5


def interpolate(maps, size, *, align_corners):
    """Resize linearly along one axis after the other; values beyond the border repeat it."""
    for axis, num_out in zip((2, 3), size, strict=True):
        num_in = maps.shape[axis]
        at = positions(num_in, num_out, align_corners=align_corners)
        maps = np.apply_along_axis(
            lambda line, at=at: np.interp(at, np.arange(len(line)), line), axis, maps
        )
    return maps


def batch_norm(maps, norm, *, training):
    """Normalise with the statistics of the batch, or with the running ones of `norm`."""

    def spread(values):
        return np.asarray(values)[None, :, None, None]

    if training:
        mean, variance = maps.mean(axis=(0, 2, 3)), maps.var(axis=(0, 2, 3))
    else:
        mean, variance = norm.running_mean.numpy(), norm.running_var.numpy()
    scale, shift = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    return (maps - spread(mean)) / np.sqrt(spread(variance) + EPS) * spread(scale) + spread(shift)


def relu(maps):
    """Replace negative numbers by 0."""
    return np.maximum(maps, 0)
