"""What any network costs, by four counters."""

import sys
from typing import Any

import torch
from torch import nn

from autoseg.comparison.mac_counts import explain_count
from autoseg.cost import (
    count_macs_fvcore,
    count_macs_thop,
    count_macs_torch,
    count_parameters,
    effective_field,
    effective_side,
    explain_macs,
    theoretical_field,
)
from autoseg.cost.recording import example_images
from autoseg.errors import UsageError, unknown_name
from autoseg.foreign_text import printable
from autoseg.networks import NETWORKS, build_network
from autoseg.reporting.tables import Column, to_markdown
from autoseg.requests import CostRequest
from autoseg.runs import seed_everything
from autoseg.user_imports import imported

_COUNTERS = (
    Column(key="counter", heading="Counter"),
    Column(key="macs", heading="MACs", kind="exact"),
    Column(key="difference", heading="Difference"),
)
_OPERATORS = (
    Column(key="name", heading="Operator"),
    Column(key="calls", heading="Calls", kind="exact"),
    Column(key="macs", heading="MACs", kind="exact"),
    Column(key="share", heading="Share", kind="percent"),
)


def run_cost(request: CostRequest) -> str:
    """Count a network of the user's own, or of the zoo.

    Returns:
        What to print.

    Raises:
        UsageError: If there is no such network, or it does not run on an image of the size.
    """
    seed_everything(0)  # of random weights an effective field depends on which
    network = find_network(request)
    try:  # on real tensors, as the others count: some modules call other operators there
        explanation = explain_macs(network, request.size, device="cpu")
    except RuntimeError as error:
        raise UsageError(f"{printable(request.network)}: {error}") from error
    ours = explanation.canonical
    tools = [
        (count_macs_torch(network, request.size), explanation.torch),
        (count_macs_fvcore(network, request.size), explanation.fvcore),
        (count_macs_thop(network, request.size), explanation.thop),
    ]
    counters: list[dict[str, Any]] = [{"counter": "autoseg", "macs": ours.macs}]
    for count, prediction in tools:
        reason = explain_count(count, prediction).removeprefix(f"{count.tool} ")
        counters.append({"counter": count.tool, "macs": count.macs, "difference": reason})
    operators = [
        {
            "name": each.name.removeprefix("aten.").removesuffix(".default"),
            "calls": each.num_calls,
            "macs": each.macs,
            "share": each.macs / ours.macs,
        }
        for each in ours.operators[: request.num_operators]
        if each.macs
    ]
    height, width = request.size
    lines = [
        f"{printable(request.network)}: {count_parameters(network):,} parameters, "
        f"{ours.macs:,} MACs for an image of {height} x {width} (FLOPs are twice that)",
        "",
        to_markdown(counters, _COUNTERS),
    ]
    if operators:
        lines += ["", to_markdown(operators, _OPERATORS)]
    if request.receptive_field:
        lines += ["", _receptive_field(network, request)]
    if request.effective_field is not None:
        lines += ["", _effective_field(network, request, num_images=request.effective_field)]
    if ours.unmodelled:
        names = ", ".join(map(printable, ours.unmodelled))
        lines += ["", f"Not priced by autoseg, so that its count is too small: {names}."]
    return "\n".join(lines)


def _receptive_field(network: nn.Module, request: CostRequest) -> str:
    try:
        field = theoretical_field(network, request.size)
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{printable(request.network)}: {error}") from error
    text = f"Theoretical receptive field of the pixel in the centre: {field}."
    if field.unknown:
        names = ", ".join(map(printable, field.unknown))
        text += f" Operators that are taken to read all of their inputs: {names}."
    return text


def _effective_field(network: nn.Module, request: CostRequest, *, num_images: int) -> str:
    zeros = example_images(network, request.size, batch_size=1, device="cpu")[0]
    generator = torch.Generator().manual_seed(0)
    images = (torch.randn(zeros.shape, generator=generator) for _ in range(num_images))
    try:
        field = effective_field(network.float().eval(), images, size=request.size)
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"{printable(request.network)}: {error}") from error
    return (
        f"Effective receptive field there: as large as a square of {effective_side(field):.1f} "
        f"pixels a side, the mean over {num_images} images of normal noise; the whole image would "
        f"be {field.numel() ** 0.5:.1f}."
    )


def find_network(request: CostRequest) -> nn.Module:
    """Find a network by its name, in what was imported for the user, or in the zoo.

    Raises:
        UsageError: If there is none, or the name is not a network's.
    """
    name = request.network
    if not imported():
        if name not in NETWORKS:
            raise unknown_name("network", name, NETWORKS)
        return build_network(name, num_classes=request.num_classes)
    request.refuse(
        ("num_classes",),
        "a network of your own has the classes that it is built with; leave it out.",
    )
    place = imported()[-1]
    members = vars(sys.modules[place.module])
    if name not in members:
        public = [each for each in members if not each.startswith("_")]
        raise unknown_name(f"name in {printable(place.word)}", name, public)
    found = members[name]
    if isinstance(found, nn.Module):
        return found
    if callable(found):
        try:
            found = found()
        except TypeError as error:
            raise UsageError(
                f"{printable(place.word)}:{name} has to give a network without arguments: "
                f"{printable(str(error))}"
            ) from error
    if not isinstance(found, nn.Module):
        raise UsageError(
            f"{printable(place.word)}:{name} is {printable(type(found).__name__)}, not a torch "
            "module, and gives none; name a module, or a class or function that gives one."
        )
    return found
