"""Run a command on the played GPU: `python -m tests.played_gpu COPY MODULE ...`.

COPY is a folder with a copy of the package that says "gpu" wherever the package says "cuda". At the
end a line on stderr tells how often the CPU waited for the device, and for what, as JSON.
"""

import json
import runpy
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from typing import Any


class _FromCopy(MetaPathFinder):
    """Finds the package in the copy, before an editable installation finds it elsewhere."""

    def __init__(self, folder: str) -> None:
        self._folder = folder

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name.partition(".")[0] not in ("autoseg", "search_spaces"):
            return None
        return PathFinder.find_spec(name, [self._folder] if path is None else path, target)


def main() -> None:
    """Run the command; this never returns."""
    _, copy, module, *arguments = sys.argv
    sys.meta_path.insert(0, _FromCopy(copy))
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
