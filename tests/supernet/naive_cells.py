"""DARTS' mixed cell evaluated edge by edge, from formulas: what the modules are compared with."""

import itertools

import torch

EPS = 1e-5


def normalise(maps):
    """Batch norm in training, without scale and shift."""
    mean = maps.mean(dim=(0, 2, 3), keepdim=True)
    variance = ((maps - mean) ** 2).mean(dim=(0, 2, 3), keepdim=True)
    return (maps - mean) / (variance + EPS).sqrt()


def pointwise(maps, weight):
    return torch.einsum("oi,nihw->nohw", weight[:, :, 0, 0], maps)


def windows(maps, size, rate, stride, fill):
    """The shifted and subsampled maps that each place of a kernel sees."""
    reach = rate * (size // 2)
    height, width = maps.shape[2:]
    padded = maps.new_full((*maps.shape[:2], height + 2 * reach, width + 2 * reach), fill)
    padded[:, :, reach : reach + height, reach : reach + width] = maps
    for row, column in itertools.product(range(size), repeat=2):
        top, left = rate * row, rate * column
        seen = padded[:, :, top : top + height, left : left + width]
        yield row, column, seen[:, :, ::stride, ::stride]


def depthwise(maps, weight, rate, stride):
    size = weight.shape[-1]
    return sum(
        seen * weight[:, 0, row, column].view(1, -1, 1, 1)
        for row, column, seen in windows(maps, size, rate, stride, 0.0)
    )


def reduce(maps, even, odd):
    active = maps.clamp(min=0)
    shifted = torch.zeros_like(active)
    shifted[:, :, :-1, :-1] = active[:, :, 1:, 1:]
    parts = [pointwise(active, even), pointwise(shifted, odd)]
    return normalise(torch.cat(parts, dim=1)[:, :, ::2, ::2])


def operation(name, weights, maps, stride):
    """Evaluate a candidate, from its convolutions' weights in their order."""
    if name == "skip_connect":
        return maps if stride == 1 else reduce(maps, *weights)
    if name == "max_pool_3x3":
        seen = [each for *_, each in windows(maps, 3, 1, stride, float("-inf"))]
        return normalise(torch.stack(seen).amax(dim=0))
    if name == "avg_pool_3x3":
        total = sum(each for *_, each in windows(maps, 3, 1, stride, 0.0))
        number = sum(each for *_, each in windows(torch.ones_like(maps), 3, 1, stride, 0.0))
        return normalise(total / number)
    rate = 2 if name.startswith("dil_conv") else 1
    for deep, flat in zip(weights[::2], weights[1::2], strict=True):
        maps = normalise(pointwise(depthwise(maps.clamp(min=0), deep, rate, stride), flat))
        stride = 1
    return maps


def cell(inputs, operations, alpha, evaluate, *, is_reduction):
    """Evaluate a cell: every node is the sum of all edges that lead to it.

    Args:
        inputs: States 0 and 1.
        operations: Candidates of each edge.
        alpha: Weight of each.
        evaluate: Called as `evaluate(edge, name, state, stride)`.
        is_reduction: Whether edges from the inputs have stride 2.
    """
    states, edge = list(inputs), 0
    while edge < len(operations):
        terms = []
        for source, state in enumerate(states):
            stride = 2 if is_reduction and source < 2 else 1
            terms += [
                weight * evaluate(edge, name, state, stride)
                for name, weight in zip(operations[edge], alpha[edge], strict=True)
                if name != "none"
            ]
            edge += 1
        states.append(sum(terms))
    return torch.cat(states[2:], dim=1)
