"""Decoded cells that know how sure they are."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from torch import Tensor

from autoseg.architecture.cell_architecture import CellArchitecture
from autoseg.architecture.cell_decoding import decode_cells
from autoseg.architecture.cell_space import CellSpace
from autoseg.architecture.confidence import EdgeMargin, close_margins, edge_margins
from autoseg.architecture.entropy import alpha_entropy, hardly_moved
from autoseg.architecture.relaxation import ARCH_INIT_STD


@dataclass(frozen=True, kw_only=True, slots=True)
class CellAgreement:
    """How many of several decodes, those of the last epochs, equal this one. Shares in [0, 1]."""

    num_decodes: int
    """Decodes that were compared."""
    normal: float
    """Share with the same normal cell."""
    reduction: float
    """Share with the same reduction cell."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodedCells:
    """Two cells, and how far both alphas are from any others."""

    architecture: CellArchitecture
    """What the alphas decode to."""
    entropies: dict[str, float]
    """How undecided the operations of either cell are, in [0, 1], under their names in logs."""
    edges: dict[str, tuple[EdgeMargin, ...]]
    """Every kept edge of "normal" and "reduction"."""
    edge_noise: float
    """Standard deviation that the random start of alpha alone gives the margins."""
    agreement: CellAgreement | None
    """Agreement with the decodes of the last epochs; None if there are none."""

    @property
    def doubts(self) -> tuple[str, ...]:
        """Sentences that say what noise would give as well, and what has not settled."""
        names = {
            name.replace("_entropy", " alpha"): value for name, value in self.entropies.items()
        }
        still = hardly_moved(names)
        doubts = [] if still is None else [still]
        for name, edges in self.edges.items():
            doubts += close_margins(edges, self.edge_noise, cell=f"{name} cell")
        if (agreement := self.agreement) is not None:
            for name in self.edges:
                share = getattr(agreement, name)
                if share < 0.5:
                    num_same = round(share * agreement.num_decodes)
                    doubts.append(
                        f"{num_same} of the last {agreement.num_decodes} decodes have this {name} "
                        "cell."
                    )
        return tuple(doubts)

    def confidence(self) -> dict[str, Any]:
        """Return all but the architecture, as plain values that JSON can hold."""
        return {
            "edges": {
                name: [asdict(edge) | {"edge": edge.edge._asdict()} for edge in edges]
                for name, edges in self.edges.items()
            },
            "edge_noise": self.edge_noise,
            "agreement": None if self.agreement is None else asdict(self.agreement),
            "doubts": list(self.doubts),
        }

    def __str__(self) -> str:
        """Tell margins, agreement and verdict, a line each."""
        lines = []
        for name, edges in self.edges.items():
            margins = [margin for edge in edges for margin in edge.margins]
            if margins:
                lines.append(
                    f"{name} cell  {len(margins)} choices, margins from {min(margins):.2g} to "
                    f"{max(margins):.2g} nats, median {median(margins):.2g}"
                )
        if self.agreement is not None:
            lines.append(
                f"last {self.agreement.num_decodes} decodes: {self.agreement.normal:.0%} with this "
                f"normal cell, {self.agreement.reduction:.0%} with this reduction cell"
            )
        if self.doubts:
            lines.append("Reasons to doubt that the search decided this:")
            return "\n".join(lines + [f"- {doubt}" for doubt in self.doubts])
        lines.append(
            "Both cells differ from an untrained supernet's by more than noise; whether they "
            "retrain better, only retraining tells."
        )
        return "\n".join(lines)


def decode_cells_with_confidence(
    space: CellSpace,
    normal: Tensor,
    reduction: Tensor,
    *,
    history: Sequence[tuple[Tensor, Tensor]] = (),
    init_std: float = ARCH_INIT_STD,
) -> DecodedCells:
    """Decode both cells, and measure how sure the result is.

    Args:
        space: The space that was searched.
        normal: Logits of the normal cell's operations, (num_edges, operations of an edge).
        reduction: Those of the reduction cell.
        history: Earlier pairs of such logits, those of the last epochs for example.
        init_std: Standard deviation of both at the start of the search.

    Raises:
        ValueError: As `decode_cells` does.
    """
    architecture = decode_cells(space, normal, reduction)
    earlier = [decode_cells(space, *pair) for pair in history]
    agreement = None
    if earlier:
        agreement = CellAgreement(
            num_decodes=len(earlier),
            normal=sum(each.normal == architecture.normal for each in earlier) / len(earlier),
            reduction=sum(each.reduction == architecture.reduction for each in earlier)
            / len(earlier),
        )
    return DecodedCells(
        architecture=architecture,
        entropies={
            "normal_entropy": alpha_entropy(normal),
            "reduction_entropy": alpha_entropy(reduction),
        },
        edges={
            "normal": edge_margins(normal, space.normal_operations, architecture.normal),
            "reduction": edge_margins(
                reduction, space.reduction_operations, architecture.reduction
            ),
        },
        edge_noise=init_std * math.sqrt(2),  # of a difference of two logits
        agreement=agreement,
    )
