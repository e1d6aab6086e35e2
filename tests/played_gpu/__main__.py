"""Run a command on the played GPU: `python -m tests.played_gpu COPY MODULE ...`.

COPY is a folder with a copy of the package that says "gpu" wherever the package says "cuda". At the
end a line on stderr tells how often the CPU waited for the device, and for what, as JSON.
"""

import json
import runpy
import sys


def main() -> None:
    """Run the command; this never returns."""
    _, copy, module, *arguments = sys.argv
    sys.path.insert(0, copy)
    from tests.played_gpu import device

    device.install()
    import autoseg
    from autoseg.runs import checkpoint

    assert autoseg.__file__.startswith(copy), autoseg.__file__
    is_plain = checkpoint._require_plain  # by exact types, of which the device's tensors are none
    checkpoint._require_plain = lambda state, where: is_plain(device.without_wrappers(state), where)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        print("waits " + json.dumps(device.WAITS), file=sys.stderr)


main()
