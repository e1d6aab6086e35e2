"""The table of the zoo: every network built, counted, and set beside its catalogue entry."""

import itertools
from collections.abc import Iterator, Sequence

from torch import nn

from autoseg.architecture import Architecture
from autoseg.atomic import atomic_write
from autoseg.cli.console import announce
from autoseg.cost import count_macs, count_parameters
from autoseg.errors import UsageError
from autoseg.networks import (
    ENCODERS,
    NETWORKS,
    NamedNetwork,
    build_network,
    inference_parameters,
    networks_called,
    require_family,
)
from autoseg.networks.catalogue import (
    ARCHITECTURE_CATALOGUE,
    ENCODER_CATALOGUE,
    FAMILY_CATALOGUE,
    NETWORK_CATALOGUE,
    CatalogueEntry,
)
from autoseg.networks.weightless import weightless
from autoseg.reporting.zoo import ZOO_FORMATS, ScoreRow, Size, Zoo, ZooRow
from autoseg.requests import NetworksRequest
from autoseg.runs import Progress

ENCODER_CLASSES = 1000
"""Classes of ImageNet, which encoders are trained on."""
ENCODER_SIZES = ((224, 224),)
"""Image sizes at which encoders' MACs are published."""


def run_networks(request: NetworksRequest) -> str | None:
    """Count the networks and write the table.

    Returns:
        The table, or None if it went to a file.

    Raises:
        UsageError: If a name is unknown, or the file's folder does not exist.
    """
    named = _networks(request)  # refuses unknown names before the file
    if not named and not any(name in ARCHITECTURE_CATALOGUE for name in request.network):
        request.refuse(
            ("num_classes", "size"),
            f"encoders alone are listed, each as a classifier of {ENCODER_CLASSES} classes at the "
            "size that its MACs were published at; leave it out.",
        )
    if request.out is not None and not request.out.parent.is_dir():
        raise UsageError(
            f"--out {request.out}: the folder {request.out.parent} does not exist; make it first."
        )
    text = ZOO_FORMATS[request.format](collect_zoo(request))
    if request.out is None:
        return text
    atomic_write(request.out, text.encode())
    announce(f"wrote {request.out}")
    return None


def collect_zoo(request: NetworksRequest, *, with_macs: bool = True) -> Zoo:
    """Build and count every network of a request, on meta tensors: in no memory.

    Args:
        request: Which networks, how many classes, which sizes.
        with_macs: Whether to count MACs, which takes nearly all of the time.
    """
    sizes = request.sizes if with_macs else ()
    encoder_sizes = ENCODER_SIZES if with_macs else ()
    footnotes = _number_scores()
    networks = _networks(request)
    architectures = [name for name in ARCHITECTURE_CATALOGUE if _is_asked(name, request)]
    encoders = [name for name in ENCODERS if _is_asked(name, request)]
    num_rows = len(networks) + len(encoders)
    num_rows += sum(len(ARCHITECTURE_CATALOGUE[name]) for name in architectures)
    network_rows, encoder_rows = [], []
    with Progress(num_rows, description="counting", unit="network") as progress:
        for label, network, entry in _build(networks, architectures, request.num_classes):
            network_rows.append(_describe(label, network, entry, sizes, footnotes.get(label, ())))
            progress.update()
        for name in encoders:
            encoder_rows.append(_describe_encoder(name, encoder_sizes))
            progress.update()
    return Zoo(
        networks=tuple(network_rows),
        encoders=tuple(encoder_rows),
        num_classes=request.num_classes,
        encoder_classes=ENCODER_CLASSES,
        sizes=sizes,
        encoder_sizes=encoder_sizes,
        command=request.command(),
    )


def _networks(request: NetworksRequest) -> list[NamedNetwork]:
    """List the segmentation networks that a request names; where it names nothing, the published.

    Raises:
        UsageError: If a name is unknown, or an encoder is for none of them.
    """
    others = (*ARCHITECTURE_CATALOGUE, *ENCODERS)
    names = [name for name in request.network if name not in others]
    named = {
        network
        for name in names
        for network in networks_called(name, request.encoder, option="--network", others=others)
    }
    require_family(names, request.encoder, option="--network")
    published = [NamedNetwork(name) for name in NETWORKS]
    if not request.network:
        return published
    pairs = sorted(named.difference(published))
    return [network for network in published if network in named] + pairs


def _is_asked(name: str, request: NetworksRequest) -> bool:
    return not request.network or name in request.network


def _labelled_entries() -> Iterator[tuple[str, CatalogueEntry]]:
    """Label and entry of every row of the segmentation networks, in the table's order."""
    for name in NETWORKS:
        yield name, NETWORK_CATALOGUE[name]
    for name, entries in ARCHITECTURE_CATALOGUE.items():
        for filter_multiplier, entry in entries.items():
            yield f"{name} F{filter_multiplier}", entry


def _number_scores() -> dict[str, tuple[ScoreRow, ...]]:
    """Number all published scores, so that a footnote keeps its number in a part of the table."""
    numbers = itertools.count(1)
    return {
        label: tuple(
            ScoreRow(
                number=next(numbers),
                miou=score.miou,
                images=f"{score.dataset} {score.split}",
                protocol=score.protocol,
                source=score.source,
            )
            for score in entry.scores
        )
        for label, entry in _labelled_entries()
    }


def _build(
    networks: Sequence[NamedNetwork], architectures: Sequence[str], num_classes: int
) -> Iterator[tuple[str, nn.Module, CatalogueEntry]]:
    """Build segmentation networks one after another, on meta tensors."""
    for name, encoder in networks:
        with weightless():
            network = build_network(name, encoder=encoder, num_classes=num_classes)
        entry = NETWORK_CATALOGUE[name] if encoder is None else FAMILY_CATALOGUE[name]
        yield NamedNetwork(name, encoder).label, network, entry
    for name in architectures:
        architecture = Architecture.load(name)
        for filter_multiplier, entry in ARCHITECTURE_CATALOGUE[name].items():
            with weightless():
                network = build_network(
                    architecture, num_classes=num_classes, filter_multiplier=filter_multiplier
                )
            yield f"{name} F{filter_multiplier}", network, entry


def _describe(
    label: str,
    network: nn.Module,
    entry: CatalogueEntry,
    sizes: Sequence[Size],
    scores: tuple[ScoreRow, ...],
) -> ZooRow:
    num_params = sum(parameter.numel() for parameter in inference_parameters(network))
    num_params_training = count_parameters(network)
    return ZooRow(
        name=label,
        paper=entry.paper.name,
        reference=str(entry.paper),
        year=entry.paper.year,
        num_params=num_params,
        num_params_training=None if num_params_training == num_params else num_params_training,
        macs=tuple(count_macs(network, size).macs for size in sizes),
        scores=scores,
    )


def _describe_encoder(name: str, sizes: Sequence[Size]) -> ZooRow:
    entry = ENCODER_CATALOGUE[name]
    with weightless():
        encoder = ENCODERS[name](num_classes=ENCODER_CLASSES)
        headless = ENCODERS[name](num_classes=None)
    return ZooRow(
        name=name,
        paper=entry.paper.name,
        reference=str(entry.paper),
        year=entry.paper.year,
        num_params=count_parameters(encoder),
        num_params_headless=count_parameters(headless),
        macs=tuple(count_macs(encoder, size).macs for size in sizes),
    )
