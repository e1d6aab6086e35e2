"""A cell with Triton kernels whose maps come in bf16, as under autocast on a GPU."""

import copy

import torch

from autoseg.supernet.cell import CellOutput, SearchCell


def run_cell_on_bf16_maps(device):
    """Evaluate a cell under autocast, and in float64 what lies behind its door.

    Returns:
        Types by name; and the results by name, those of the kernels and those of float64.
    """
    from autoseg.supernet.triton_kernels import TritonSourceKernels  # where triton is chosen

    torch.manual_seed(0)
    cell = SearchCell(
        4,
        num_nodes=1,
        operations=("max_pool_3x3", "dil_conv_3x3"),
        previous_channels=[(3, False)],
        previous_previous_channels=None,
    ).to(device)
    exact = copy.deepcopy(cell).double()
    # The first of the two edges would come from state 0, which is absent.
    alpha = torch.rand(2, 2, device=device).requires_grad_()
    beta = torch.rand(1, device=device)
    maps = torch.randn(2, 3, 3, 5, device=device).bfloat16()
    grad = torch.randn(2, 4, 3, 5, device=device)
    kernels = TritonSourceKernels(block_elements=512, num_programs=1)

    seen = []
    cell.previous[0].register_forward_hook(lambda module, args, output: seen.append(output))
    with torch.autocast(device, torch.bfloat16, cache_enabled=False):
        out = cell([CellOutput(maps, None)], None, alpha, beta, (3, 5), kernels)
    (state,) = seen
    state.retain_grad()
    own = _results(cell, out, grad, state, alpha)
    types = {
        "maps": state.dtype,
        "out": out.dtype,
        "gradient of maps": state.grad.dtype,
        "gradient of alpha": alpha.grad.dtype,
    }
    state, alpha = (each.detach().double().requires_grad_() for each in (state, alpha))
    out = exact._evaluate(state[:, None], None, alpha[1:], beta.double(), None)
    expected = _results(exact, out, grad, state, alpha)
    return {name: str(each) for name, each in types.items()}, own, expected


def _results(cell, out, grad, state, alpha):
    out.backward(grad.to(out.dtype))
    (source,) = cell.sources
    found = {"out": out, "state": state.grad, "alpha": alpha.grad, "weight": source.weight.grad}
    return {name: tensor.detach().cpu().double().numpy() for name, tensor in found.items()}
