"""Every file of a run under damage of any kind: read, or refused in one line with its name."""

import hashlib
import io
import json
import warnings

import pytest
import torch

from autoseg.runs import load_checkpoint, load_metrics, load_record, load_weights
from autoseg.runs.checkpoint import save_checkpoint
from autoseg.runs.metrics_log import MetricsLog
from autoseg.runs.record import new_record, save_record
from autoseg.runs.weights import save_weights
from tests.fuzzing import (
    as_json,
    as_json_lines,
    damaged_bytes,
    damaged_json,
    require_clean_refusals,
)


def quietly(read):
    """Leave warnings out: of what was healed, passed over or has no checksum."""

    def quiet(path):
        with warnings.catch_warnings(action="ignore"):
            read(path)

    return quiet


@pytest.mark.fuzz
def test_a_record(memory_folder):
    config = {"lr": 0.1, "crop": (3, 5), "network": {"label": "a", "width": 1.0}}
    record = new_record(kind="search", command=["x"], config=config, seed=3, order=7)
    record["resumed"].append({"time": record["created"]})
    save_record(memory_folder, record)
    path = memory_folder / "run.json"
    read = quietly(lambda path: load_record(path.parent))
    load_record(memory_folder)
    # Of the first format, without a checksum: the schema decides alone.
    changed = damaged_json({**record, "format_version": 1})
    damaged = damaged_bytes(path.read_bytes()) | changed.map(as_json)
    require_clean_refusals(read, path, damaged)


@pytest.mark.fuzz
def test_a_log(memory_folder):
    log = MetricsLog(memory_folder)
    for step in range(1, 5):
        log.append({"step": step, "epoch": step, "loss": 0.5, "architecture": {"path": [4, 8]}})
    log.close()
    content = log.path.read_bytes()

    def read(path):
        load_metrics(path.parent)
        MetricsLog(path.parent).close()

    lines = [json.loads(line) for line in content.splitlines()]
    damaged = damaged_bytes(content) | damaged_json(lines).map(as_json_lines)
    require_clean_refusals(quietly(read), log.path, damaged)


@pytest.fixture
def state():
    """What a checkpoint holds."""
    optimizer = torch.optim.SGD([torch.ones(2)], lr=0.1, momentum=0.9)
    return {
        "network": {"weight": torch.ones(2, 3), "half": torch.ones(4).bfloat16()},
        "optimizer": optimizer.state_dict(),
    }


def restore(state):
    """Take a state over as the loops do."""
    torch.nn.Linear(3, 2, bias=False).weight.data.copy_(torch.as_tensor(state["network"]["weight"]))
    torch.optim.SGD([torch.ones(2)], lr=0.1).load_state_dict(state["optimizer"])


def read_checkpoint(path):
    load_checkpoint(path.parent, identity={"a": 1}, map_location="cpu", restore=restore)


@pytest.mark.fuzz
def test_a_checkpoint(memory_folder, state):
    path = save_checkpoint(memory_folder, state, identity={"a": 1}, step=2, metrics_bytes=5)
    content = path.read_bytes()
    read_checkpoint(path)
    read = quietly(read_checkpoint)

    def signed(archive):
        return archive + b"autoseg-sha256:" + hashlib.sha256(archive).digest()

    # Damage that the checksum vouches for, as a program may write it.
    archive = content[:-47]
    assert signed(archive) == content
    archives = damaged_bytes(content) | damaged_bytes(archive).map(signed)

    def archived(value):
        buffer = io.BytesIO()
        torch.save(value, buffer)
        return buffer.getvalue()

    plain = {
        "format_version": 2,
        "step": 2,
        "identity": {"a": 1},
        "metrics_bytes": 5,
        "state": {"network": {"weight": [[1.0] * 3] * 2}},
    }
    groups = torch.optim.SGD([torch.ones(2)], lr=0.1).state_dict()["param_groups"]
    plain["state"]["optimizer"] = {"state": {}, "param_groups": groups}
    path.write_bytes(signed(archived(plain)))
    read_checkpoint(path)
    changed = damaged_json(plain)
    require_clean_refusals(read, path, archives | changed.map(archived).map(signed))


@pytest.mark.fuzz
def test_weights(memory_folder):
    tensors = {"a": torch.ones(2, 3), "b": torch.ones(4).bfloat16(), "c": torch.tensor(3)}
    path = save_weights(memory_folder, "best", tensors, metadata={"network": "toy"})
    content = path.read_bytes()
    read = quietly(lambda path: load_weights(path.parent))
    read(path)
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]

    def with_header(values):
        text = json.dumps(values).encode()
        return len(text).to_bytes(8, "little") + text + data

    damaged = damaged_bytes(content) | damaged_json(header).map(with_header)
    require_clean_refusals(read, path, damaged)
