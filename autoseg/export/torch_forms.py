"""Forms that run with torch and without autoseg: torch.export's archive, and TorchScript."""

import io
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.fx import Graph, GraphModule
from torch.fx.graph import CodeGen

from autoseg.export.agreement import Agreement, random_batches, require_agreement
from autoseg.export.graph import SegmentationGraph, quiet_exporter

METADATA_FILE = "autoseg.json"
"""Extra file in the archive that holds the metadata."""


def export_pt2(
    program: ExportedProgram, graph: SegmentationGraph, *, metadata: Mapping[str, str]
) -> tuple[bytes, Agreement]:
    """Write a graph as torch.export's archive, and run what is read back.

    Arguments, result and errors are those of `export_onnx`.
    """
    buffer = io.BytesIO()
    extra = {METADATA_FILE: json.dumps(dict(metadata))}
    with quiet_exporter():
        torch.export.save(program, buffer, extra_files=extra)
        buffer.seek(0)
        loaded = torch.export.load(buffer).module()
    return buffer.getvalue(), _agreement(loaded, graph, "torch.export")


def export_torchscript(
    program: ExportedProgram, graph: SegmentationGraph, *, metadata: Mapping[str, str]
) -> tuple[bytes, Agreement]:
    """Write a graph as TorchScript, and run what is read back.

    Arguments, result and errors are those of `export_onnx`.
    """
    buffer = io.BytesIO()
    module = program.module(check_guards=False)
    _speak_torchscript_(module.graph)
    with quiet_exporter():
        scripted = torch.jit.script(GraphModule(module, module.graph))
        extra = {METADATA_FILE: json.dumps(dict(metadata))}
        torch.jit.save(scripted, buffer, _extra_files=extra)
        buffer.seek(0)
        loaded = torch.jit.load(buffer)
    return buffer.getvalue(), _agreement(loaded, graph, "TorchScript")


def _speak_torchscript_(graph: Graph) -> None:
    """Replace what TorchScript has no word for, in place."""
    for node in list(graph.nodes):
        if isinstance(node.target, OpOverload):
            node.target = node.target.overloadpacket  # it chooses among the overloads itself
        elif node.target in (torch.sym_max, torch.sym_min):
            node.target = max if node.target is torch.sym_max else min
    graph.eliminate_dead_code()
    graph.set_codegen(CodeGen())  # plain arguments and results


def _agreement(
    loaded: Callable[[Tensor], tuple[Tensor, Tensor]], graph: SegmentationGraph, form: str
) -> Agreement:
    def run(images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        with torch.inference_mode(), quiet_exporter():
            return [each.numpy() for each in loaded(torch.from_numpy(images))]

    return require_agreement(
        run,
        graph,
        form=form,
        batches=random_batches(graph.normalisation.num_channels, graph.image_scale),
    )
