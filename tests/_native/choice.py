"""What a fresh process is asked; importing this loads no kernels."""

from autoseg import _native


def choose() -> tuple[str, tuple[int, int], str]:
    """Load the kernels; return the instruction set, the lanes of both dtypes and the file."""
    core = _native.core()
    assert core is not None
    return core.isa(), (core.lanes("float32"), core.lanes("float64")), core.__file__ or ""
