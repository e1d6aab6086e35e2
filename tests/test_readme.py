"""What the README tells a newcomer to type is what CI runs, and exists."""

import re
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_ci_runs_the_readmes_test_command():
    command = "pip install -e '.[test]' && python -m pytest"
    assert f"\n{command}\n" in README
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").replace("-q ", "")


def test_every_command_and_file_it_names_is_there():
    modules = set(re.findall(r"python -m (autoseg\.\w+)", README))
    assert len(modules) >= 4
    assert all(find_spec(module) for module in modules)
    paths = re.findall(r"\]\(((?!http)[^)]+)\)", README)
    paths += re.findall(r"python (benchmarks/\w+\.py)", README)
    paths += re.findall(r"`((?:autoseg|tests|search_spaces)/[\w/.]+)`", README)
    assert len(paths) >= 10
    for path in paths:
        assert (ROOT / path).exists(), path


def test_its_python_example_runs_as_written():
    import torch

    (example,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names = {
        "logits": torch.randn(1, 4, 6, 7),
        "images_uint8": torch.randint(256, (1, 3, 6, 7), dtype=torch.uint8),
    }
    exec(example, names)
    assert names["marginals"].shape == (1, 4, 6, 7)
    assert names["space"].num_paths() == 75025
    # The published architecture at F = 20: 10.15 M in the paper's table 2.
    assert sum(p.numel() for p in names["network"].parameters()) == 10_147_427
