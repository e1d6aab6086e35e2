"""The supernet edge by edge, as the paper writes it: slow, obvious, and the oracle of the tests.

Every cell is evaluated again for each input cell, every edge by itself, every operation by its own
call, "none" included. Nothing here is shared with `autoseg.supernet` but the parameters, which are
read from their stacked form.
"""

import torch
import torch.nn.functional as F

EPS = 1e-5


def batch_norm(maps, running_mean, running_var, training):
    """Normalise one edge."""
    if training:
        mean = maps.mean(dim=(0, 2, 3), keepdim=True)
        variance = maps.var(dim=(0, 2, 3), keepdim=True, unbiased=False)
    else:
        mean = running_mean[None, :, None, None]
        variance = running_var[None, :, None, None]
    return (maps - mean) / torch.sqrt(variance + EPS)


def depthwise(maps, kernel, dilation):
    size = kernel.shape[-1]
    padding = dilation * (size - 1) // 2
    return F.conv2d(maps, kernel[:, None], padding=padding, dilation=dilation, groups=maps.shape[1])


class Edge:
    """One edge: its operations, each with the parameters of one target of a source operation."""

    def __init__(self, source, target, k, training):
        self.source, self.layout = source, source.layout
        self.target, self.k, self.training = target, k, training

    def weight(self, name):
        return self.layout.weights[name].view(self.source.weight)

    def norm(self, maps, name, *index):
        block, statistics = self.layout.features[name], self.source.statistics
        mean, variance = block.view(statistics.mean)[index], block.view(statistics.var)[index]
        return batch_norm(maps, mean, variance, self.training)

    def separable(self, maps, stage, size, operation, dilation=1):
        kernel = self.weight(f"{stage}.depthwise{size}")[self.target]
        maps = depthwise(maps.relu(), kernel, dilation)
        pointwise = self.weight(f"{stage}.pointwise")[operation, self.target]
        maps = F.conv2d(maps, pointwise[:, :, None, None])
        return self.norm(maps, stage, self.k, operation, self.target)

    def operation(self, name, maps):
        if name == "none":
            return maps * 0
        if name == "skip_connect":
            return maps
        family, size = name[: name.rindex("_")], int(name[-1])
        if family in ("max_pool", "avg_pool"):
            pooled = (
                F.max_pool2d(maps, 3, 1, 1)
                if family == "max_pool"
                else F.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)
            )
            return self.norm(pooled, name, self.k)
        if family == "sep_conv":
            operation = self.layout.kernel_sizes(family).index(size)
            maps = self.separable(maps, "sep1", size, operation)
            return self.separable(maps, "sep2", size, operation)
        if family == "dil_conv":
            operation = self.layout.kernel_sizes(family).index(size)
            return self.separable(maps, "dil", size, operation, dilation=2)
        kernel = self.weight(f"atrous{size}")[self.target]
        maps = F.conv2d(maps.relu(), kernel, padding=size - 1, dilation=2)
        return self.norm(maps, f"atrous{size}", self.k, self.target)

    def __call__(self, maps, weights, names):
        # Equation 2: sum over the operations, weighted by alpha.
        return sum(
            weight * self.operation(name, maps) for weight, name in zip(weights, names, strict=True)
        )


def input_cell(module, maps, size, training):
    if module.is_finer:
        maps = F.conv2d(maps.relu(), module.conv.weight, stride=2, padding=1)
    else:
        if maps.shape[2:] != torch.Size(size):
            maps = F.interpolate(maps, size, mode="bilinear", align_corners=True)
        maps = F.conv2d(maps.relu(), module.conv.weight)
    return batch_norm(maps, module.statistics.mean, module.statistics.var, training)


def cell(module, k, previous, previous_previous, alpha, space, size, training):
    """Cell(H_prev, H_prev_prev; alpha) for input cell number k: equations 1 to 3."""
    states = {1: input_cell(module.previous[k], previous, size, training)}
    if previous_previous is not None:
        states[0] = input_cell(module.previous_previous, previous_previous, size, training)
    edge_row = 0
    for node in range(space.num_nodes):
        total = 0
        for source in range(2 + node):
            weights = alpha[edge_row]
            edge_row += 1
            if source not in states:
                continue  # no cell two layers before at this stride
            stack = module.source0 if source == 0 else module.sources[source - 1]
            # Targets of a state are the nodes after it, so node n is target n - first.
            first = 0 if source < 2 else source - 1
            edge = Edge(stack, node - first, 0 if source == 0 else k, training)
            total = total + edge(states[source], weights, space.operations)
        states[2 + node] = total
    return torch.cat([states[2 + node] for node in range(space.num_nodes)], dim=1)


def outgoing_softmax(logits, layer, level, num_levels):
    """Equation 6: softmax over the edges that leave one node."""
    directions = [k for k in (0, 1, 2) if 0 <= level + k - 1 < num_levels]
    weights = torch.softmax(torch.stack([logits[layer, level, k] for k in directions]), dim=0)
    return dict(zip(directions, weights, strict=True))


def reference_features(net, images, *, alpha_weights, beta_of, training):
    """Outputs of the last layer by stride: equation 5 with weights `beta_of(layer, level, k)`."""
    space, num_levels = net.space, len(net.space.strides)
    _, stem = net.stem(images)
    sizes = [tuple(stem.shape[2:])]
    for _ in range(num_levels - 1):
        sizes.append(tuple(-(-side // 2) for side in sizes[-1]))
    outputs = {(-1, 0): stem}
    for layer in range(space.num_layers):
        for level, stride in enumerate(space.strides):
            total, k = None, 0
            for source in (level - 1, level, level + 1):
                if (layer - 1, source) not in outputs:
                    continue
                out = cell(
                    net.cells[f"layer{layer}_stride{stride}"],
                    k,
                    outputs[layer - 1, source],
                    outputs.get((layer - 2, level)),
                    alpha_weights,
                    space,
                    sizes[level],
                    training,
                )
                weighted = beta_of(layer, source, level - source + 1) * out
                total = weighted if total is None else total + weighted
                k += 1
            if total is not None:
                outputs[layer, level] = total
    last = space.num_layers - 1
    return {
        f"stride{stride}": outputs[last, level]
        for level, stride in enumerate(space.strides)
        if (last, level) in outputs
    }


def reference_logits(net, images, *, training):
    """The whole forward pass from alpha and beta, in the paper's normalisation."""
    num_levels = len(net.space.strides)

    def beta_of(layer, level, direction):
        return outgoing_softmax(net.beta, layer, level, num_levels)[direction]

    features = reference_features(
        net,
        images,
        alpha_weights=torch.softmax(net.alpha, dim=1),
        beta_of=beta_of,
        training=training,
    )
    total = 0
    for name, head in net.heads.items():
        total = total + F.interpolate(
            head(features[name]), images.shape[2:], mode="bilinear", align_corners=False
        )
    return total
