"""Batch norm as a part of the convolution before it."""

from operator import attrgetter
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torch.nn.utils.fusion import fuse_conv_bn_weights

_CONV, _NORM = torch.ops.aten.conv2d.default, torch.ops.aten.batch_norm.default


def fold_batch_norm(program: ExportedProgram) -> GraphModule:
    """Multiply each batch norm into the convolution whose result it alone takes.

    Args:
        program: A network in eval mode, recorded.

    Returns:
        A module that gives the same, up to rounding. Batch norms that stand elsewhere, as before a
        convolution, stay.
    """
    module = cast(GraphModule, program.module(check_guards=False))
    graph = module.graph
    norms = graph.find_nodes(op="call_function", target=_NORM)
    for number, norm in enumerate(norms):
        conv = norm.args[0]
        if not (isinstance(conv, Node) and conv.target is _CONV and len(conv.users) == 1):
            continue
        # weight, bias, mean, variance, training, momentum, eps
        scale, shift, mean, variance, is_training, _, eps = norm.args[1:8]
        assert not is_training
        images, weight, *rest = cast(tuple[Any, ...], conv.args)
        bias = rest[0] if rest else None
        folded = fuse_conv_bn_weights(
            cast(nn.Parameter, _value(module, weight)),
            cast(nn.Parameter | None, _value(module, bias)),
            cast(Tensor, _value(module, mean)),
            cast(Tensor, _value(module, variance)),
            cast(float, eps),
            cast(nn.Parameter | None, _value(module, scale)),
            cast(nn.Parameter | None, _value(module, shift)),
        )
        # New names: the same convolution may be called elsewhere without this norm.
        names = [f"folded_weight_{number}", f"folded_bias_{number}"]
        with graph.inserting_before(conv):
            nodes = []
            for name, value in zip(names, folded, strict=True):
                module.register_parameter(name, nn.Parameter(value, requires_grad=False))
                nodes.append(graph.get_attr(name))
        conv.args = (images, *nodes, *rest[1:])
        norm.replace_all_uses_with(conv)
        graph.erase_node(norm)
    graph.eliminate_dead_code()
    return GraphModule(module, graph).eval()  # torch.export's own modules refuse `eval`


def _value(module: GraphModule, node: object) -> Tensor | None:
    """Return the parameter or buffer that a node of the graph fetches."""
    if node is None:
        return None
    assert isinstance(node, Node) and node.op == "get_attr"
    return attrgetter(str(node.target))(module)
