"""A source operation edge by edge from plain torch operators: the oracle of every fused back end.

Each (input cell, target, operation) is evaluated by its own calls on its own weights, cut out of
the flat tensors. Give float64 tensors; gradients come from autograd.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F

from autoseg.supernet.source_layout import num_elements

EPS = 1e-5


class ReferenceSource(NamedTuple):
    """What the source operation computes, in the plain layout."""

    contributions: torch.Tensor
    """(N, K, T, C, H, W)."""
    mean: torch.Tensor
    """Mean of each map over the batch, flat, in the order of `layout.features`."""
    variance: torch.Tensor
    """Biased variance of each map over the batch, likewise."""


class Normaliser:
    """Batch norm without scale and shift that writes down what it saw of each feature."""

    def __init__(self, layout, statistics, *, training):
        self.features, self.training = layout.features, training
        self.running_mean, self.running_var = statistics
        self.mean = torch.full_like(self.running_mean, torch.nan)
        self.variance = torch.full_like(self.running_var, torch.nan)

    def __call__(self, maps, name, index):
        """Normalise (N, C, H, W), the map at `index` of the feature block `name`."""
        block = self.features[name]
        block.view(self.mean)[index] = maps.detach().mean(dim=(0, 2, 3))
        block.view(self.variance)[index] = maps.detach().var(dim=(0, 2, 3), unbiased=False)
        return F.batch_norm(
            maps,
            None if self.training else block.view(self.running_mean)[index],
            None if self.training else block.view(self.running_var)[index],
            training=self.training,
            eps=EPS,
        )


def reference_source(layout, weight, statistics, state, alpha, *, training):
    """Evaluate a source operation.

    Args:
        layout: The `SourceLayout` of the flat tensors.
        weight: All weights, flat, in the order of `layout.weights`.
        statistics: (running mean, running variance), flat, in the order of `layout.features`;
            read in evaluation, never written.
        state: (N, K, C, H, W).
        alpha: Normalised weight of each operation, (T, num_operations).
        training: Whether batch norm uses the statistics of the batch.

    Returns:
        A `ReferenceSource`; its mean and variance are the batch's, in evaluation too.
    """
    normalise = Normaliser(layout, statistics, training=training)
    contributions = []
    for k in range(layout.num_inputs):
        for t in range(layout.num_targets):
            terms = [
                alpha[t, column] * operation(layout, weight, state[:, k], name, k, t, normalise)
                for column, name in enumerate(layout.operations)
            ]
            contributions.append(torch.stack(terms).sum(dim=0))
    stacked = torch.stack(contributions, dim=1).unflatten(1, (layout.num_inputs, -1))
    return ReferenceSource(stacked, normalise.mean, normalise.variance)


def operation(layout, weight, maps, name, k, t, normalise):
    """Evaluate one operation of the edge (input cell k, target t) on maps (N, C, H, W)."""
    if name == "none":
        return maps * 0
    if name == "skip_connect":
        return maps
    if name == "max_pool_3x3":
        return normalise(F.max_pool2d(maps, 3, 1, 1), name, k)
    if name == "avg_pool_3x3":
        return normalise(F.avg_pool2d(maps, 3, 1, 1, count_include_pad=False), name, k)
    family, size = name[: name.rindex("_")], int(name[-1])
    if family == "sep_conv":
        maps = separable(layout, weight, maps, "sep1", name, size, k, t, normalise)
        return separable(layout, weight, maps, "sep2", name, size, k, t, normalise)
    if family == "dil_conv":
        return separable(layout, weight, maps, "dil", name, size, k, t, normalise)
    assert family == "atrous_conv"
    kernel = layout.weights[f"atrous{size}"].view(weight)[t]
    maps = F.conv2d(maps.relu(), kernel, padding=size - 1, dilation=2)
    return normalise(maps, f"atrous{size}", (k, t))


def separable(layout, weight, maps, stage, name, size, k, t, normalise):
    """ReLU, depthwise, pointwise, batch norm: one stage of one operation of one edge."""
    m = layout.number(name)
    dilation = 2 if stage == "dil" else 1
    depthwise = layout.weights[f"{stage}.depthwise{size}"].view(weight)[t]
    pointwise = layout.weights[f"{stage}.pointwise"].view(weight)[m, t]
    maps = F.conv2d(
        maps.relu(),
        depthwise[:, None],
        padding=dilation * (size - 1) // 2,
        dilation=dilation,
        groups=maps.shape[1],
    )
    maps = F.conv2d(maps, pointwise[:, :, None, None])
    return normalise(maps, stage, (k, m, t))


def updated_statistics(statistics, reference, *, num_samples, momentum):
    """Return the running mean and variance after a training pass, as torch updates them.

    Args:
        statistics: (running mean, running variance) before.
        reference: The `ReferenceSource` of the pass.
        num_samples: N * H * W, from which the unbiased variance follows.
        momentum: Share of the batch.
    """
    unbiased = reference.variance * num_samples / (num_samples - 1)
    batch = (reference.mean, unbiased)
    return tuple(
        (1 - momentum) * old + momentum * new for old, new in zip(statistics, batch, strict=True)
    )


def random_source(layout, size, *, seed, dtype=torch.float64):
    """Draw (weight, statistics, state, alpha) for tests, each at the scale of real use.

    Args:
        layout: The `SourceLayout`.
        size: (N, H, W).
        seed: Of the generator.
        dtype: Of all tensors.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    weight = normal(num_elements(layout.weights)) / 2
    num_features = num_elements(layout.features)
    statistics = normal(num_features) / 4, normal(num_features).abs() + 0.5
    num_images, height, width = size
    state = normal(num_images, layout.num_inputs, layout.channels, height, width)
    alpha = normal(layout.num_targets, len(layout.operations)).softmax(dim=1)
    return (
        weight.to(dtype),
        tuple(tensor.to(dtype) for tensor in statistics),
        state.to(dtype),
        alpha.to(dtype),
    )
