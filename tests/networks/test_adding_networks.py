"""The page that tells how to add an encoder or a network: its code runs from top to bottom."""

import re
from pathlib import Path

import torch

from autoseg.networks import ENCODERS, FAMILIES, NETWORKS, load_weights_

PAGE = Path(__file__).parents[2] / "docs" / "adding_networks.md"


def test_the_pages_code_runs(tmp_path):
    known = [dict(table) for table in (ENCODERS, FAMILIES, NETWORKS)]
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    torch.manual_seed(0)
    names: dict = {}
    try:
        for block in blocks:
            exec(compile(block, str(PAGE), "exec"), names)
        assert "tiny" in ENCODERS and "linear" in FAMILIES and "linear_resnet18" in NETWORKS
        check_the_added_encoder(names, tmp_path)
    finally:
        # What the page adds is taken out again.
        for table, before in zip((ENCODERS, FAMILIES, NETWORKS), known, strict=True):
            for name in set(table) - set(before):
                del table[name]


def check_the_added_encoder(names: dict, folder: Path) -> None:
    """Its maps at every output stride are the strided network's, and its weights load."""
    images = torch.randn(1, 3, 64, 96)
    strided = ENCODERS["tiny"](num_classes=5, width=0.25).eval()
    torch.save(
        {"module." + key: value for key, value in strided.state_dict().items()}, folder / "w"
    )
    network = names["build_network"]("linear", encoder="tiny", num_classes=3, width=0.25).eval()
    assert load_weights_(network, folder / "w").left_out == ("module.fc.weight", "module.fc.bias")
    (expected,) = strided.maps(images, stages=(4,))
    (dense,) = network.encoder.maps(images, stages=(4,))
    torch.testing.assert_close(dense[:, :, ::2, ::2], expected)
