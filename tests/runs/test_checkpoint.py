import errno
import hashlib
import io
import os
import tempfile
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from autoseg import atomic
from autoseg.errors import FileError, UsageError
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
    rule = (
        r"is not of this run as it is started now: space\.name was 'toy', and is 'large' now\. "
        r"Resume with the settings and the data"
    )
    with pytest.raises(UsageError, match=rule):
        load(tmp_path, other)


def test_a_missing_key_is_a_difference(tmp_path):
    save(tmp_path, 1)
    with pytest.raises(UsageError, match=r"space was .*'toy'.*, and is not set now"):
        load(tmp_path, {"kind": "search"})
    with pytest.raises(UsageError, match=r"seed was not set, and is 3 now"):
        load(tmp_path, {**IDENTITY, "seed": 3})


def test_every_difference_is_named_up_to_three(tmp_path):
    identity = {"data": {"fingerprint": "0011", "num_images": 7}, "lr": 0.1, "flip": True, "a": [1]}
    save(tmp_path, 1, identity)
    other = {"data": {"fingerprint": "ffee", "num_images": 8}, "lr": 0.2, "flip": 1, "a": [1]}
    with pytest.raises(UsageError) as caught:
        load(tmp_path, other)
    assert str(caught.value).partition(": ")[2] == (
        "data.fingerprint was '0011', and is 'ffee' now; data.num_images was 7, and is 8 now; "
        "lr was 0.1, and is 0.2 now; and 1 more. Resume with the settings and the data that the "
        "run was started with, or start a new one with another --out."
    )
    other = {**identity, "a": ["x" * 5000]}
    with pytest.raises(UsageError, match=r"a\[0\] was 1, and is 'xxx.*\.\.\. now") as caught:
        load(tmp_path, other)
    assert len(str(caught.value)) < 500


def test_a_field_of_before_it_was_recorded_has_its_default(tmp_path):
    save(tmp_path, 1)
    now = {**IDENTITY, "loss": {"name": "plain"}}
    arguments = {"identity": now, "map_location": "cpu"}
    assert load_checkpoint(tmp_path, **arguments, defaults={"loss": {"name": "plain"}})
    with pytest.raises(UsageError, match=r"loss\.name was 'focal', and is 'plain' now"):
        load_checkpoint(tmp_path, **arguments, defaults={"loss": {"name": "focal"}})


def test_the_first_format_says_less_and_that_is_told(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "CHECKPOINT_FORMAT_VERSION", 1)
        save(tmp_path, 1)
    rule = r"checkpoint-00000001\.pt was written by an earlier autoseg and says nothing of its data"
    with pytest.warns(UserWarning, match=rule):
        assert load(tmp_path, {**IDENTITY, "data": {"fingerprint": "0011"}})
    with pytest.raises(UsageError, match="kind was 'search', and is 'retrain' now"):
        load(tmp_path, {**IDENTITY, "kind": "retrain"})


def with_footer(archive):
    return archive + b"autoseg-sha256:" + hashlib.sha256(archive).digest()


def archive_of(content):
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


WHOLE = {"format_version": 2, "step": 2, "identity": {}, "metrics_bytes": 0, "state": {}}


class Executes:
    """Unpickling it would write a file."""

    def __reduce__(self):
        return open, (str(EXECUTED), "w")


EXECUTED = Path(tempfile.gettempdir()) / f"autoseg-executed-{os.getpid()}"
FOREIGN = {
    "is not a checkpoint of autoseg: it is 3; it must be an object": archive_of(3),
    "it has no field 'format_version'": archive_of({"model": torch.ones(2)}),
    "it has no field 'state'": archive_of({k: v for k, v in WHOLE.items() if k != "state"}),
    "step is '2'; it must be a whole number": archive_of({**WHOLE, "step": "2"}),
    r"state is \[\]; it must be an object": archive_of({**WHOLE, "state": []}),
    "identity is tensor.*; it must be an object": archive_of({**WHOLE, "identity": torch.ones(2)}),
    "identity.a is a torch.Tensor": archive_of({**WHOLE, "identity": {"a": torch.ones(2)}}),
    "it is of step 7, and its name says 2": archive_of({**WHOLE, "step": 7}),
    "holds more than tensors and numbers; not loaded": archive_of({**WHOLE, "state": Executes()}),
    "is not a checkpoint of autoseg": b"text",
    "is not a checkpoint of autoseg: ": b"",
}


@pytest.mark.parametrize("rule", FOREIGN)
def test_what_autoseg_did_not_write_is_passed_over_in_spite_of_its_checksum(tmp_path, rule):
    save(tmp_path, 1, {})
    newest = tmp_path / "checkpoint-00000002.pt"
    newest.write_bytes(with_footer(FOREIGN[rule]))
    with pytest.warns(UserWarning, match=rule) as caught:
        found = load(tmp_path, {})
    assert found is not None and found.step == 1
    assert str(caught[0].message).isprintable()
    assert not EXECUTED.exists()
    (tmp_path / "checkpoint-00000001.pt").unlink()
    with pytest.raises(FileError, match=rf"no checkpoint in .*00000002\.pt .*{rule}.* from step 0"):
        load(tmp_path, {})


def test_a_state_that_the_run_cannot_take_falls_back_too(tmp_path):
    save(tmp_path, 1, weights=torch.ones(2))
    save(tmp_path, 2, wheights=torch.ones(2))
    taken = []
    rule = r"00000002\.pt is not a checkpoint of this run: 'weights'; resuming from .*00000001\.pt"
    with pytest.warns(UserWarning, match=rule):
        found = load_checkpoint(
            tmp_path,
            identity=IDENTITY,
            map_location="cpu",
            restore=lambda state: taken.append(state["weights"]),
        )
    assert found is not None and found.step == 1
    assert len(taken) == 1 and torch.equal(taken[0], torch.ones(2))


def test_tuples_and_lists_are_the_same_identity(tmp_path):
    save(tmp_path, 1)
    assert load(tmp_path, {"kind": "search", "space": {"name": "toy", "strides": [4, 8]}})


def test_a_newer_version_is_refused_not_skipped(tmp_path, monkeypatch):
    save(tmp_path, 1)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "CHECKPOINT_FORMAT_VERSION", 3)
        save(tmp_path, 2)
    rule = r"checkpoint-00000002\.pt has format version 3, this autoseg reads up to 2: update"
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
