"""What in a step could not be captured as a CUDA graph, found without a GPU."""

import torch
from torch.utils._python_dispatch import TorchDispatchMode

_READS = {
    torch.ops.aten._local_scalar_dense.default: "a value is read (.item(), bool, float)",
    torch.ops.aten.nonzero.default: "a size depends on values (nonzero, index by a mask)",
    torch.ops.aten.masked_select.default: "a size depends on values (masked_select)",
    torch.ops.aten.equal.default: "a value is read (torch.equal)",
    torch.ops.aten.lift_fresh.default: "a tensor is made from Python numbers (torch.tensor, index)",
}


class HostReads(TorchDispatchMode):
    """List what makes the CPU wait for a GPU, or copies from the CPU, while a step runs.

    Attributes:
        found: One sentence for each.
    """

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func in _READS:
            self.found.append(_READS[func])
        return func(*args, **(kwargs or {}))
