import errno
import os
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from autoseg import atomic
from autoseg.errors import UsageError
from autoseg.runs import checkpoint
from autoseg.runs.checkpoint import load_checkpoint, save_checkpoint

IDENTITY = {"kind": "search", "space": {"name": "toy", "strides": (4, 8)}}


def save(folder, step, identity=IDENTITY, **state):
    return save_checkpoint(
        folder, state or {"step": step}, identity=identity, step=step, metrics_bytes=10 * step
    )


def load(folder, identity=IDENTITY):
    return load_checkpoint(folder, identity=identity, map_location="cpu")


def test_an_optimizer_survives(tmp_path):
    torch.manual_seed(0)
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    layer(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    save(tmp_path, 1, network=layer.state_dict(), optimizer=optimizer.state_dict())
    found = load(tmp_path)
    assert found is not None
    assert (found.step, found.metrics_bytes, found.warnings) == (1, 10, ())
    for name, tensor in layer.state_dict().items():
        assert torch.equal(found.state["network"][name], tensor)
    restored = torch.optim.Adam(layer.parameters(), lr=0.5)
    restored.load_state_dict(found.state["optimizer"])
    assert restored.state_dict()["param_groups"] == optimizer.state_dict()["param_groups"]
    moments = [state["exp_avg"] for state in restored.state_dict()["state"].values()]
    expected = [state["exp_avg"] for state in optimizer.state_dict()["state"].values()]
    assert len(moments) == 2
    assert all(torch.equal(a, b) for a, b in zip(moments, expected, strict=True))


def test_no_checkpoint_is_none(tmp_path):
    assert load(tmp_path) is None


def test_the_newest_two_are_kept(tmp_path):
    for step in (1, 9, 10, 100):
        save(tmp_path, step)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["checkpoint-00000010.pt", "checkpoint-00000100.pt"]
    found = load(tmp_path)
    assert found is not None and found.state == {"step": 100}


def test_saving_an_earlier_step_ends_the_future_it_replaces(tmp_path):
    save(tmp_path, 10)
    save(tmp_path, 20)
    save(tmp_path, 15)
    found = load(tmp_path)
    assert found is not None and found.step == 15
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("keep", [0, 7, 0.5, -1])
def test_a_truncated_file_falls_back_with_a_warning(tmp_path, keep):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    data = newest.read_bytes()
    newest.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    rule = r"checkpoint-00000002\.pt is truncated.*resuming from checkpoint-00000001\.pt instead"
    with pytest.warns(UserWarning, match=rule) as caught:
        found = load(tmp_path)
    assert found is not None and found.state == {"step": 1}
    assert found.warnings == (str(caught[0].message),)


def test_one_flipped_bit_falls_back(tmp_path):
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    with pytest.warns(UserWarning, match="is corrupt: its checksum does not match"):
        found = load(tmp_path)
    assert found is not None and found.step == 1


def test_both_damaged_is_an_error_with_the_remedy(tmp_path):
    for step in (1, 2):
        save(tmp_path, step).write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint in") as caught:
        load(tmp_path)
    message = str(caught.value)
    assert "checkpoint-00000001.pt is truncated" in message
    assert "checkpoint-00000002.pt is truncated" in message
    assert "delete checkpoint-*.pt there to start this run again from step 0" in message


def test_a_full_disk_keeps_the_previous_checkpoint(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        with pytest.raises(OSError, match=r"checkpoint-00000002\.pt: No space left on device"):
            save(tmp_path, 2)
    found = load(tmp_path)
    assert found is not None and found.state == {"step": 1}
    assert len(list(tmp_path.iterdir())) == 1


def test_another_space_is_refused_by_name(tmp_path):
    save(tmp_path, 1)
    other = {"kind": "search", "space": {"name": "large", "strides": (4, 8)}}
    rule = r"belongs to space\.name 'toy', this run is 'large': resume with the settings"
    with pytest.raises(UsageError, match=rule):
        load(tmp_path, other)


def test_a_missing_key_is_a_difference(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(UsageError, match=r"belongs to space .*'toy'.*, this run is \(unset\)"):
        load(tmp_path, {"kind": "search"})
    with pytest.raises(UsageError, match=r"belongs to seed \(unset\), this run is 3"):
        load(tmp_path, {**IDENTITY, "seed": 3})


def test_tuples_and_lists_are_the_same_identity(tmp_path):
    save(tmp_path, 1)
    assert load(tmp_path, {"kind": "search", "space": {"name": "toy", "strides": [4, 8]}})


def test_a_newer_version_is_refused_not_skipped(tmp_path, monkeypatch):
    save(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "CHECKPOINT_FORMAT_VERSION", 2)
        save(tmp_path, 2)
    rule = r"checkpoint-00000002\.pt has format version 2, this autoseg reads up to 1: update"
    with pytest.raises(UsageError, match=rule):
        load(tmp_path)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (np.float64(1.0), r"numpy\.float64"),
        (np.zeros(2), r"numpy\.ndarray"),
        (nn.Linear(1, 1), r"torch\.nn\.modules\.linear\.Linear"),
        ({1.5: "a"}, r"has the key 1\.5"),
    ],
)
def test_what_would_need_code_is_refused_when_saving(tmp_path, value, name):
    with pytest.raises(TypeError, match=rf"^state\['a'\]\[1\].*{name}"):
        save(tmp_path, 1, a=[0, value])
    assert list(tmp_path.iterdir()) == []


def test_plain_values_keep_their_types(tmp_path):
    state = {"a": OrderedDict(b=(1, 2.5, True, None, "x")), "c": [torch.ones(2, 3)]}
    save(tmp_path, 1, **state)
    found = load(tmp_path)
    assert found is not None
    assert found.state["a"] == state["a"]
    assert type(found.state["a"]["b"]) is tuple
    assert torch.equal(found.state["c"][0], torch.ones(2, 3))
