import errno
import os

import pytest
import safetensors.torch
import torch
from torch import nn

from autoseg import atomic
from autoseg.errors import FileError, UsageError
from autoseg.runs.weights import load_weights, load_weights_metadata, save_weights


def state():
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 4, 5), nn.BatchNorm2d(4))  # int64 scalar included
    half = torch.randn(2, 3).to(torch.bfloat16)
    image = torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last)
    return {**layers.state_dict(), "half": half, "image": image, "empty": torch.zeros(0, 3)}


def test_round_trip_is_exact(tmp_path):
    expected = state()
    path = save_weights(tmp_path, "best", expected, metadata={"network": "toy"})
    assert path.name == "weights-best.safetensors"
    found = load_weights(tmp_path, "best")
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype, name
        assert torch.equal(found[name], tensor), name
    assert load_weights_metadata(tmp_path, "best")["network"] == "toy"


def test_a_folder_whose_name_is_no_utf_8(tmp_path):
    folder = tmp_path / os.fsdecode(b"run-\xff")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    save_weights(folder, "best", state(), metadata={"network": "toy"})
    assert load_weights(folder).keys() == state().keys()
    assert load_weights_metadata(folder)["network"] == "toy"


def test_missing_weights_say_what_there_is(tmp_path):
    with pytest.raises(UsageError, match=r"weights-best\.safetensors does not exist; it has no"):
        load_weights(tmp_path)
    save_weights(tmp_path, "last", state(), metadata={})
    with pytest.raises(UsageError, match=r"does not exist; it has weights-last\.safetensors"):
        load_weights(tmp_path, "best")


def test_unknown_word(tmp_path):
    with pytest.raises(UsageError, match=r"unknown weights 'lats'; did you mean 'last'"):
        load_weights(tmp_path, "lats")  # type: ignore[arg-type]


@pytest.mark.parametrize("keep", [0, 5, 0.5, -1])
def test_a_truncated_file(tmp_path, keep):
    path = save_weights(tmp_path, "best", state(), metadata={})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=r"is not whole: .*; restore it"):
        load_weights(tmp_path)


def test_one_flipped_bit(tmp_path):
    path = save_weights(tmp_path, "best", state(), metadata={})
    data = bytearray(path.read_bytes())
    data[-20] ^= 1  # in the tensors: the header stands first
    path.write_bytes(data)
    with pytest.raises(ValueError, match="is corrupt: its checksum does not match"):
        load_weights(tmp_path)


def test_a_full_disk_keeps_the_previous_weights(tmp_path, monkeypatch):
    save_weights(tmp_path, "last", {"a": torch.ones(2)}, metadata={})

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "fsync", full)
        with pytest.raises(OSError, match="the previous file is untouched"):
            save_weights(tmp_path, "last", {"a": torch.zeros(2)}, metadata={})
    assert torch.equal(load_weights(tmp_path, "last")["a"], torch.ones(2))


def test_the_checksum_key_is_taken(tmp_path):
    with pytest.raises(ValueError, match="'sha256' is taken"):
        save_weights(tmp_path, "last", {}, metadata={"sha256": "x"})


def test_what_no_run_wrote_is_told(tmp_path):
    safetensors.torch.save_file({"a": torch.ones(2)}, tmp_path / "weights-best.safetensors")
    rule = r"weights-best\.safetensors has no checksum, so that no run of autoseg wrote it; restore"
    with pytest.raises(FileError, match=rule):
        load_weights(tmp_path, "best")


def test_a_folder_in_place_of_weights(tmp_path):
    (tmp_path / "weights-best.safetensors").mkdir()
    with pytest.raises(UsageError, match=r"weights-best\.safetensors does not exist"):
        load_weights(tmp_path)
