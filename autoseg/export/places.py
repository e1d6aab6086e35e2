"""Where a graph decides places, and the cut behind it: what comes before must not be rounded.

Where an unpooling puts a value is decided by which value of a window is the largest. Two that are
nearly equal are told apart in float32 and often not in bfloat16, and then the value moves whole.
"""

from collections.abc import Iterator
from typing import Any


def cut_behind_places(model: Any) -> list[Any]:
    """Cut a graph in two: what decides the places that a pooling remembers, and all else.

    Args:
        model: An `openvino.Model`; it is taken apart.

    Returns:
        Two models, the second of which takes the results of the first in order, or the model alone
        if it remembers no places.
    """
    import openvino  # late: an extra  # pyright: ignore[reportMissingImports]

    deciding = _before(list(_deciders(model)))
    if all(node.get_type_name() in ("Constant", "Parameter") for node in deciding.values()):
        return [model]
    # Sizes too, if they are of these maps alone: else whole maps would be handed on for their size.
    for node in model.get_ordered_ops():
        sources = _sources(node)
        if sources and all(each.get_name() in deciding for each in sources) and _counts(node):
            deciding[node.get_name()] = node
    taken = []
    for node in deciding.values():
        if node.get_type_name() != "Constant":  # both can have it
            for result in node.outputs():
                takers = [
                    taker
                    for taker in result.get_target_inputs()
                    if taker.get_node().get_name() not in deciding
                ]
                taken += [(result, takers)] if takers else []
    first = openvino.Model([result for result, _ in taken], model.get_parameters())
    handed_on = []
    for result, takers in taken:
        parameter = openvino.op.Parameter(result.get_element_type(), result.get_partial_shape())
        handed_on.append(parameter)
        for taker in takers:
            taker.replace_source_output(parameter.output(0))
    return [first, openvino.Model(model.get_results(), handed_on)]


def _deciders(model: Any) -> Iterator[Any]:
    """List the nodes that tell which value of a window is the largest, by either translation."""
    for node in model.get_ops():
        kind = node.get_type_name()
        if kind == "Equal" and node.input(0).get_element_type().is_real():
            yield from _sources(node)  # see autoseg.export.unpooling
        # torch's own translation; version 1 of the operator has no indices
        elif kind == "MaxPool" and any(each.get_target_inputs() for each in node.outputs()[1:]):
            yield node


def _before(nodes: list[Any]) -> dict[str, Any]:
    """Return nodes and all that they depend on, by name."""
    found: dict[str, Any] = {}
    while nodes:
        node = nodes.pop()
        if node.get_name() not in found:
            found[node.get_name()] = node
            nodes += _sources(node)
    return found


def _sources(node: Any) -> list[Any]:
    """List the nodes whose results a node takes."""
    return [each.get_source_output().get_node() for each in node.inputs()]


def _counts(node: Any) -> bool:
    """Whether a node gives whole numbers alone."""
    return all(result.get_element_type().is_integral_number() for result in node.outputs())
