"""In which precision a module computes, forward and back."""

import torch
from torch import nn

SETTINGS = {"fp32": ("ieee", "ieee"), "tf32": ("tf32", "tf32")}
"""Of products and of convolutions, by precision; a step in bf16 leaves them as they are."""


class Precisions:
    """What held whenever a module was called, and whenever its parameters got a gradient.

    Attributes:
        forward: Whether autocast was on, and torch's settings for TF32.
        backward: The settings.
    """

    def __init__(self, module: nn.Module) -> None:
        self.forward: set[tuple[bool, tuple[str, str]]] = set()
        self.backward: set[tuple[str, str]] = set()
        module.register_forward_pre_hook(
            lambda *_: self.forward.add((torch.is_autocast_enabled("cpu"), tf32_settings()))
        )
        for parameter in module.parameters():
            parameter.register_hook(lambda _: self.backward.add(tf32_settings()))

    def require(self, precision: str) -> None:
        """Assert that this was the precision, of all calls."""
        expected = SETTINGS.get(precision, tf32_settings())
        assert self.forward == {(precision == "bf16", expected)}
        assert self.backward == {expected}


def tf32_settings() -> tuple[str, str]:
    """Return torch's settings for products and for convolutions."""
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.cudnn.conv.fp32_precision  # pyright: ignore[reportAttributeAccessIssue]
