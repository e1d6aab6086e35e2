"""Modules and maps whose numbers are all different from what a fresh module has."""

import torch
from torch import nn


def randomise_(module, *, seed=0):
    """Make a module float64 and draw its weights and running statistics."""
    generator = torch.Generator().manual_seed(seed)
    module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(generator=generator)
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                assert layer.running_mean is not None and layer.running_var is not None
                layer.running_mean.normal_(generator=generator)
                layer.running_var.uniform_(0.5, 2.0, generator=generator)
    return module


def random_maps(*shape, seed=1):
    """Draw maps of both signs, float64."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
