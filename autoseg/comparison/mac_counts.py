"""Multiply-accumulates of a network by three counters, and why they differ."""

from dataclasses import dataclass

import torch
from torch import nn

from autoseg.cost import (
    MacPrediction,
    ToolCount,
    count_macs_fvcore,
    count_macs_thop,
    explain_macs,
)
from autoseg.reporting.tables import scaled

_NUM_REASONS = 3  # of a difference between two counters, before "other" sums up the rest


@dataclass(frozen=True, kw_only=True, slots=True)
class Macs:
    """Three counts of one image."""

    macs: int
    """Our own count."""
    fvcore: int | None
    """fvcore's; None if it failed."""
    thop: int | None
    """thop's; None if it failed."""
    notes: tuple[str, ...]
    """Why they differ."""


def count_all_macs(
    network: nn.Module, input_size: tuple[int, int], *, device: torch.device
) -> Macs:
    """Count one image of a size, (height, width)."""
    explanation = explain_macs(network, input_size)
    fvcore = count_macs_fvcore(network, input_size, device=str(device))
    thop = count_macs_thop(network, input_size, device=str(device))
    return Macs(
        macs=explanation.canonical.macs,
        fvcore=fvcore.macs,
        thop=thop.macs,
        notes=tuple(
            explain_count(count, prediction)
            for count, prediction in ((fvcore, explanation.fvcore), (thop, explanation.thop))
        ),
    )


def explain_count(count: ToolCount, prediction: MacPrediction) -> str:
    """Say why another counter's total is not ours.

    Args:
        count: What the tool said, or why it failed.
        prediction: What it must say, with the reasons.
    """
    if count.macs is None:
        failure = (count.failure or "").rstrip(".")
        return f"{count.tool} failed: {failure}."
    difference = count.macs - prediction.canonical
    if difference == 0:
        return f"{count.tool} counts the same."
    shown = [(term.reason, term.macs) for term in prediction.terms[:_NUM_REASONS]]
    rest = sum(term.macs for term in prediction.terms[_NUM_REASONS:])
    if rest:
        shown.append(("other reasons", rest))
    if count.macs != prediction.macs:
        shown.append(("not explained", count.macs - prediction.macs))
    reasons = "; ".join(f"{reason} ({_signed(macs)})" for reason, macs in shown)
    return f"{count.tool} differs by {_signed(difference)}: {reasons}."


def _signed(macs: int) -> str:
    return ("-" if macs < 0 else "+") + scaled(abs(macs))
