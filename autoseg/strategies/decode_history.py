"""What a search would have decoded lately: how settled it is."""

from typing import Any

import torch
from torch import Tensor

from autoseg.architecture import Decoded, decode_with_confidence
from autoseg.supernet import Supernet

NUM_EPOCHS = 5
"""Earlier epochs that a decode is compared with."""


class DecodeHistory:
    """Decodes a supernet at every epoch and remembers the alpha and beta of the last ones."""

    def __init__(self) -> None:
        self._earlier: list[tuple[Tensor, Tensor]] = []

    def decode(self, supernet: Supernet) -> Decoded:
        """Decode the present alpha and beta, compare with earlier epochs, and remember them.

        An epoch that left alpha and beta as they were, in the warm-up, counts for nothing; to
        decode the same ones again changes nothing either.
        """
        alpha, beta = (p.detach().cpu().clone() for p in (supernet.alpha, supernet.beta))
        if self._earlier and torch.equal(alpha, self._earlier[-1][0]):
            self._earlier.pop()
        decoded = decode_with_confidence(
            supernet.space,
            alpha,
            beta,
            beta_norm=supernet.beta_norm,
            path_rule=supernet.path_rule,
            history=self._earlier[-NUM_EPOCHS:],
        )
        # One more than is compared: the last one may be decoded again.
        self._earlier = [*self._earlier, (alpha, beta)][-NUM_EPOCHS - 1 :]
        return decoded

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on."""
        return {"earlier": self._earlier}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self._earlier = [(alpha.cpu(), beta.cpu()) for alpha, beta in state["earlier"]]
