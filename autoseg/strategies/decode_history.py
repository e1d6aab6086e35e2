"""What a search would have decoded lately: how settled it is."""

from typing import Any

import torch
from torch import Tensor

from autoseg.architecture import Decoded, DecodedCells
from autoseg.strategies.space_kinds import AnySupernet

NUM_EPOCHS = 5
"""Earlier epochs that a decode is compared with."""


class DecodeHistory:
    """Decodes a supernet at every epoch and remembers the alpha and beta of the last ones.

    Of a cell space the two are the alphas of the normal and of the reduction cell.
    """

    def __init__(self) -> None:
        self._earlier: list[tuple[Tensor, Tensor]] = []

    def decode(self, supernet: AnySupernet) -> Decoded | DecodedCells:
        """Decode the present alpha and beta, compare with earlier epochs, and remember them.

        An epoch that left alpha and beta as they were, in the warm-up, counts for nothing; to
        decode the same ones again changes nothing either.
        """
        alpha, beta = (each.detach().cpu().clone() for each in supernet.decoded_logits())
        if self._earlier and torch.equal(alpha, self._earlier[-1][0]):
            self._earlier.pop()
        earlier = self._earlier[-NUM_EPOCHS:]
        decoded = supernet.decode_with_confidence(alpha, beta, history=earlier)
        # One more than is compared: the last one may be decoded again.
        self._earlier = [*self._earlier, (alpha, beta)][-NUM_EPOCHS - 1 :]
        return decoded

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint needs to go on."""
        return {"earlier": self._earlier}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to a state that `state_dict` returned."""
        self._earlier = [(alpha.cpu(), beta.cpu()) for alpha, beta in state["earlier"]]
