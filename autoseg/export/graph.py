"""One graph from pixels to classes, which every exported form is made of."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from autoseg.errors import UsageError
from autoseg.evaluation import best_class, predict_logits
from autoseg.networks import NetworkWithCRF
from autoseg.normalisation import Normalisation

_EXAMPLE_SIZE = (2, 97, 130)
"""Images, height and width that the graph is recorded with: no two alike, none a round number, so
that no size is taken for a constant or for another."""

_MAX_BYTE = 256


class SegmentationGraph(nn.Module):
    """A network with what stands before and after it: pixels in, logits and labels out."""

    def __init__(
        self, network: nn.Module, *, normalisation: Normalisation, image_scale: float
    ) -> None:
        """Put the graph together.

        Args:
            network: Maps normalised images (N, C, H, W) to logits (N, K, H, W); in eval mode.
            normalisation: What takes pixels to normalised images.
            image_scale: Factor on the images' sides before the network sees them.

        Raises:
            UsageError: If the network ends in a dense CRF.
        """
        super().__init__()
        if isinstance(network, NetworkWithCRF):
            raise UsageError(
                "a network with a CRF layer (--crf-layer) has no exported form: its lattice "
                "depends on the colours of each image, and no graph holds that. --format "
                "safetensors keeps network and CRF; or export the network that was trained without "
                "the layer, and refine its logits by `python -m autoseg.crf`."
            )
        self.network = network
        self.normalisation = normalisation
        self.image_scale = image_scale

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Segment images.

        Args:
            images: uint8, (N, H, W, C), RGB where C is 3; any N, H and W.

        Returns:
            Logits, float32 (N, K, H, W), and the class of each pixel, (N, H, W): uint8, with more
            than 256 classes int32.
        """
        channels_first = images.permute(0, 3, 1, 2)
        normalised = self.normalisation.from_unit(channels_first.to(torch.float32) / 255)
        logits = predict_logits(self.network, normalised, scales=(self.image_scale,))
        dtype = torch.uint8 if logits.shape[1] <= _MAX_BYTE else torch.int32
        return logits, best_class(logits).to(dtype)


def export_graph(graph: SegmentationGraph) -> ExportedProgram:
    """Record a graph for any number of images of any size.

    Args:
        graph: In eval mode, on the CPU.
    """
    num_channels = graph.normalisation.num_channels
    images = torch.zeros(*_EXAMPLE_SIZE, num_channels, dtype=torch.uint8)
    return record(graph, images, free=(0, 1, 2))


def record(module: nn.Module, images: Tensor, *, free: Sequence[int]) -> ExportedProgram:
    """Record what a module does with images.

    Args:
        module: In eval mode; takes images alone.
        images: An example, no side of which is 0 or 1.
        free: Axes that may have any other size.
    """
    with torch.no_grad(), quiet_exporter():
        program = torch.export.export(
            module,
            (images,),
            dynamic_shapes=(dict.fromkeys(free, Dim.DYNAMIC),),
            # What cannot be known of all sizes becomes an assertion, and no limit on the sizes.
            prefer_deferred_runtime_asserts_over_guards=True,
        )
        _drop_assertions_(program)
    return program


def _drop_assertions_(program: ExportedProgram) -> None:
    """Take out what the recording asserted, in place.

    It notes each comparison of sizes that torch's own shape functions made on the way, also those
    that decide nothing but the layout in memory: U-Net's graph would refuse images whose sides are
    multiples of 16. That the graph is right at other sizes is seen when it is run.
    """
    graph = program.graph_module.graph
    for node in list(graph.nodes):
        if "_assert" in str(node.target):
            graph.erase_node(node)
    graph.eliminate_dead_code()
    program.graph_module.recompile()


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep to itself what torch's exporters say of their own insides, errors apart."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
