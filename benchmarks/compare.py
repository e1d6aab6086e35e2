"""The door to `python -m autoseg.compare`: the command itself is part of the package."""

import runpy

if __name__ == "__main__":
    runpy.run_module("autoseg.compare", run_name="__main__", alter_sys=True)
