"""Supernets whose weights are drawn from Dirichlet distributions, of which alpha and beta say.

Source: Chen et al. 2021, "DrNAS: Dirichlet Neural Architecture Search", arXiv 2006.10355.
"""

import torch
from torch import Tensor
from torch.distributions import Dirichlet

from autoseg.architecture.relaxation import live_betas_on
from autoseg.supernet.cell_supernet import CellSupernet
from autoseg.supernet.supernet import Supernet


def log_concentration(logits: Tensor) -> Tensor:
    """Return the logarithm of the concentrations, elu(logits) + 1, above 0.

    Its softmax is the mean of the Dirichlet distribution. Where logits are negative it is they:
    exp(x) - 1 + 1 would be 0 already at -17.
    """
    return torch.where(logits > 0, torch.log1p(logits.clamp_min(0)), logits)


def draw_logits(logits: Tensor) -> Tensor:
    """Draw from the Dirichlet distribution of each row: logits whose softmax is the sample.

    Of some of a row's entries alone the softmax is a sample of their own Dirichlet distribution: a
    part of a sample, divided by its sum, is one.

    Args:
        logits: (..., options).

    Returns:
        The same shape, with pathwise derivatives.
    """
    sample = Dirichlet(log_concentration(logits).exp(), validate_args=False).rsample()
    return sample.clamp_min(torch.finfo(sample.dtype).tiny).log()


class DirichletSupernet(Supernet):
    """A supernet whose operations and trellis edges are weighed by samples while it is trained.

    Alpha and beta give the concentrations: of the operations of an edge, and of the edges that
    leave a node of the trellis. In eval mode, and where it is decoded, their means weigh.
    """

    def mixed_logits(self) -> tuple[Tensor, Tensor]:
        """Return logits of a sample in training mode, of the means otherwise."""
        if not self.training:
            return self.decoded_logits()
        # Rounding would leave the entries that belong to no edge a slope, which Adam enlarges.
        live = live_betas_on(self.space, self.beta.device)
        return draw_logits(self.alpha), draw_logits(torch.where(live, self.beta, 0))

    def decoded_logits(self) -> tuple[Tensor, Tensor]:
        """Return logits of the means."""
        return log_concentration(self.alpha), log_concentration(self.beta)


class DirichletCellSupernet(CellSupernet):
    """The same for a cell space: the operations of the edges of either cell are drawn."""

    def mixed_logits(self) -> tuple[Tensor, Tensor]:
        """Return logits of a sample in training mode, of the means otherwise."""
        if not self.training:
            return self.decoded_logits()
        return draw_logits(self.normal_alpha), draw_logits(self.reduction_alpha)

    def decoded_logits(self) -> tuple[Tensor, Tensor]:
        """Return logits of the means."""
        return log_concentration(self.normal_alpha), log_concentration(self.reduction_alpha)
