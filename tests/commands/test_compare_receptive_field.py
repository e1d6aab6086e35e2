"""`compare --receptive-field` tells of each network what its own measurement says."""

import json

import pytest
import torch

from autoseg import compare
from autoseg.commands import compare as compare_command
from autoseg.comparison.receptive_fields import measure_receptive_field
from autoseg.cost import theoretical_field
from autoseg.requests import CompareRequest
from autoseg.trained import RetrainedNetwork
from tests.commands.test_compare import QUICK, SIZE, make_run


@pytest.mark.nightly
@pytest.mark.usefixtures("no_warm_up")
def test_columns_and_picture_are_there(tmp_path):
    folder, out = make_run(tmp_path / "runs" / "set" / "segnet"), tmp_path / "out"
    arguments = [str(folder), "--out", str(out), "--runs", str(tmp_path), "--num-iterations", "1"]
    assert compare.main([*arguments, "--flip", "--receptive-field", *QUICK]) == 0
    record = json.loads((out / "compare.json").read_text())
    rows = {
        (row["views"], row["has_crf"]): (row["theoretical_field"], row["effective_field_px"])
        for network in record["groups"][0]["networks"]
        for row in network["rows"]
    }
    theoretical = str(theoretical_field(RetrainedNetwork.open(folder).network(), SIZE))
    (subject,), _ = compare_command.find_subjects(CompareRequest(run=(folder,), limit=2))
    effective = measure_receptive_field(subject, device=torch.device("cpu")).effective_px
    assert rows == {
        (None, False): (theoretical, effective),
        (None, True): ("whole image", None),
        ("flip", False): (None, None),
        ("flip", True): (None, None),
    }
    assert {"compare-fields.png", "compare-fields.svg"} < {path.name for path in out.iterdir()}
