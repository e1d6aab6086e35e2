"""Files of weights as people have them, and what they have instead."""

import argparse
import collections
import gzip
import os
import pickle
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from autoseg.errors import FileError, UsageError
from autoseg.networks.weights import fit_weights, read_weights

STATE = {"conv.weight": torch.arange(6.0).reshape(2, 3), "conv.bias": torch.tensor([0.5, -1.0])}


def saved(content: Any, folder: Path, name: str = "weights.pth") -> Path:
    path = folder / name
    torch.save(content, path)
    return path


def equal(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def refused(path: Path, message: str) -> None:
    with pytest.raises(FileError) as caught:
        read_weights(path)
    assert str(caught.value) == f"{path} {message}"


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (STATE, ()),
        ({"state_dict": STATE, "epoch": 3}, ("taken from 'state_dict'",)),
        ({"model_state": STATE, "cur_itrs": 3}, ("taken from 'model_state'",)),
        ({"model_state_dict": STATE}, ("taken from 'model_state_dict'",)),
        ({"model": STATE, "args": argparse.Namespace(lr=0.1)}, ("taken from 'model'",)),
        (
            {"model": STATE, "args": argparse.Namespace(out=Path("x"), scale=np.float32(2.0))},
            ("taken from 'model'",),
        ),
        (
            {"state_dict": STATE, "best_pred": np.float64(0.5), "at": np.int64(3)},
            ("taken from 'state_dict'",),
        ),
        ({"model": STATE, "confusion": np.zeros((2, 2))}, ("taken from 'model'",)),
        ({"checkpoint": 1, "model": {"state_dict": STATE}}, ("taken from 'model.state_dict'",)),
        (
            {"state_dict": {"a": torch.zeros(1)}, "state_dict_ema": STATE},
            ("taken from 'state_dict_ema', the moving average, and not from 'state_dict'",),
        ),
        (
            {"model": {"a": torch.zeros(1)}, "ema": {"decay": 0.9, "module": STATE}},
            ("taken from 'ema.module', the moving average, and not from 'model'",),
        ),
        ({"model": STATE, "ema": {"decay": 0.9}}, ("taken from 'model'",)),
        (
            {"params": {"a": torch.zeros(1)}, "params_ema": STATE},
            ("taken from 'params_ema', the moving average, and not from 'params'",),
        ),
        ({"weights": STATE}, ("taken from 'weights'",)),
        ({"params": STATE}, ("taken from 'params'",)),
        # A run's own checkpoint.
        ({"step": 2, "state": {"network": STATE, "rng": {}}}, ("taken from 'state.network'",)),
        (
            {**STATE, "epoch": 3, "conv._extra_state": None},
            ("passed over, as no tensors: epoch, conv._extra_state",),
        ),
        ({name: nn.Parameter(value) for name, value in STATE.items()}, ()),
    ],
)
def test_wrappers_of_training_scripts(tmp_path: Path, content: Any, notes: tuple[str]) -> None:
    file = read_weights(saved(content, tmp_path))
    assert equal(file.tensors, STATE)
    assert file.notes == notes


def test_torchs_oldest_format_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.pth"
    content = {"state_dict": STATE, "best_pred": np.float64(0.5)}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    assert equal(read_weights(path).tensors, STATE)


def test_the_content_decides_and_not_the_ending(tmp_path: Path) -> None:
    safetensors.torch.save_file(STATE, tmp_path / "weights.pth")
    assert equal(read_weights(tmp_path / "weights.pth").tensors, STATE)
    path = saved(STATE, tmp_path, "weights.safetensors")
    assert equal(read_weights(path).tensors, STATE)


def test_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"weights-\xff.safetensors")
    safetensors.torch.save_file(STATE, tmp_path / "weights")
    try:
        (tmp_path / "weights").rename(path)
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    assert equal(read_weights(path).tensors, STATE)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty; copy or download it again."),
        (
            b"<!DOCTYPE html><html>cannot scan this file for viruses</html>",
            "is a web page, not weights: the download was answered by a page (a login, a warning, "
            "an error); save the file itself with a browser.",
        ),
        (
            b"\n <HTML><head>",
            "is a web page, not weights: the download was answered by a page (a login, a warning, "
            "an error); save the file itself with a browser.",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
            "is a Git LFS pointer, not the weights that it stands for; run `git lfs pull` where it "
            "was cloned.",
        ),
        (
            '{"error": "Not Found: café'.encode() + b"\xc3",
            'is text, not weights; it begins with \'{"error": "Not Found: café\'.',
        ),
        (gzip.compress(b"x", mtime=0), "is compressed by gzip; unpack it and name what was in it."),
        (
            b"\x89HDF\r\n\x1a\n rest",
            "is an HDF5 file, as Keras saves; save the tensors as .safetensors.",
        ),
        (
            b"PK\x03\x04" + bytes(96),
            "is cut off or damaged: it has 100 bytes, and no table of contents at its end, which "
            "every file of torch.save has; copy or download it again.",
        ),
    ],
    ids=["empty", "page", "page-indented", "lfs", "text", "gzip", "hdf5", "cut"],
)
@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_what_people_have_instead(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, message)


def test_a_cut_file_is_told_so(tmp_path: Path) -> None:
    whole = saved(STATE, tmp_path).read_bytes()
    path = tmp_path / "half.pth"
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=r"half\.pth is cut off or damaged: it has [\d,]+ bytes"):
        read_weights(path)
    path = tmp_path / "half.safetensors"
    path.write_bytes(safetensors.torch.save(STATE)[:-3])
    message = r"is not a whole file of weights: .*; copy or download it again\.$"
    with pytest.raises(FileError, match=message):
        read_weights(path)


def test_archives_that_torch_did_not_write(tmp_path: Path) -> None:
    path = tmp_path / "packed.pth"
    with tarfile.open(path, "w") as archive:
        archive.add(saved(STATE, tmp_path), "weights.pth")
    refused(path, "is a tar archive; unpack it and name the file of weights in it.")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.pth", b"x")
    refused(
        path,
        "is a zip archive that torch.save did not write (it holds weights.pth); unpack it and name "
        "the file of weights in it.",
    )
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", b"x")
        archive.writestr("model/constants.pkl", b"x")
        archive.writestr("model/code/__torch__.py", b"x")
    refused(
        path,
        "is a TorchScript program, which is code; load it where it comes from and save its "
        "`state_dict()`.",
    )


def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(saved(STATE, tmp_path)) as whole:
        contents = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
        archive.writestr("weights/data/2", bytes(10_000_000))
    with pytest.raises(
        FileError, match=r"would unpack to 10,0\d\d,\d{3} bytes from 1\d,\d{3}, but"
    ):
        read_weights(path)


def test_folders_and_pipes_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^weights: .*none\.pth does not exist\.$"):
        read_weights(tmp_path / "none.pth")
    with pytest.raises(UsageError, match=r"is a folder; name a file\.$"):
        read_weights(tmp_path)
    saved(STATE, tmp_path)
    with pytest.raises(UsageError, match=r"is a folder; name one of its files: weights\.pth\.$"):
        read_weights(tmp_path)
    safetensors.torch.save_file(STATE, tmp_path / "best.safetensors")
    with pytest.raises(UsageError, match=r"name one of its files: best\.safetensors\.$"):
        read_weights(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)
    with pytest.raises(UsageError, match=r"is a pipe or device; name a regular file\.$"):
        read_weights(tmp_path / "pipe")
    for name in ("a\x00b", "x" * 5000):
        with pytest.raises((UsageError, FileError, OSError)) as caught:
            read_weights(tmp_path / name)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("content", "holds"),
    [
        ([1, 2], "a list"),
        (torch.zeros(2), "a Tensor"),
        ({}, "nothing"),
        ({"student": STATE, "teacher": STATE}, "entries under student, teacher"),
        ({"model": {"epoch": 3}, "\x1b[1m": 1}, "entries under model, \\x1b[1m"),
        ({"optimizer": {"state": {0: {"momentum": torch.zeros(1)}}}}, "entries under optimizer"),
        ({0: torch.zeros(1)}, "entries under 0"),
    ],
)
def test_files_without_a_state_dict_say_what_they_hold(
    tmp_path: Path, content: Any, holds: str
) -> None:
    refused(
        saved(content, tmp_path),
        f"holds no state dict, tensors by name, but {holds}; save `network.state_dict()` with "
        "torch.save.",
    )


class Outer:
    """Holds a class, which older pickles look up by getattr."""

    class Inner:
        """Whose instance is saved."""


class Surprise:
    """Would run code when unpickled."""

    def __init__(self, function: Any = print, argument: Any = "ran") -> None:
        self.call = function, (argument,)

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("content", "needed"),
    [
        (Surprise(), "print"),
        (Surprise(os.system, "echo ran"), "posix.system"),
        (Surprise(eval, "print('ran')"), "eval"),
        (nn.Linear(2, 2), "torch.nn.modules.linear.Linear"),
        (collections.deque, "collections.deque"),
        (np.dtype([("a", "f4")]).type, "numpy.void"),
        (Outer.Inner(), "getattr"),
    ],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_no_code_of_a_file_is_run(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], content: Any, needed: str, is_zip: bool
) -> None:
    path = tmp_path / "odd.pth"
    torch.save({"a": content, **STATE}, path, _use_new_zipfile_serialization=is_zip)
    refused(
        path,
        f"needs code to be read ({needed}), and none is run that a file names; where you trust it, "
        "load it with torch and save the network's `state_dict()` alone.",
    )
    assert capfd.readouterr().out == ""


def test_what_is_passed_over_is_never_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def made(*_: object) -> None:
        pytest.fail("an object of the file was made")

    path = saved({"model": STATE, "args": argparse.Namespace(lr=0.1)}, tmp_path)
    monkeypatch.setattr(argparse.Namespace, "__init__", made)
    monkeypatch.setattr(argparse.Namespace, "__setattr__", made)
    assert equal(read_weights(path).tensors, STATE)
    # Nothing of it stays allowed for whoever loads a file afterwards.
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path, weights_only=True)


def test_a_name_that_torch_would_take_hours_to_refuse_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "long.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("long/data.pkl", b"\x80\x02c" + b"m" * 100_000 + b"\nname\n.")
    refused(
        path,
        "is no pickle as torch.save writes it (it has a name of 100,005 characters); copy or "
        "download it again, or save `network.state_dict()` with torch.save or as .safetensors.",
    )


def test_a_pickle_of_another_protocol_is_told_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "four.pth"
    torch.save(STATE, path, pickle_protocol=4)
    with pytest.raises(
        FileError, match=r"is no pickle as torch\.save writes it \(Unsupported oper"
    ):
        read_weights(path)


@pytest.mark.parametrize(
    "header",
    [
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, '
        '"b": {"dtype": "F32", "shape": [1], "data_offsets": [2, 6]}}',
        '{"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}',
        '{"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}',
        '{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}',
        '{"a": ' * 100_000,
        '{"a": ' + "9" * 5000 + "}",
        '{"__metadata__": 3}',
    ],
)
def test_headers_of_safetensors_that_lie(tmp_path: Path, header: str) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + bytes(4))
    message = (
        r"^.*odd\.safetensors is not a whole file of weights: .+; copy or download it again\.$"
    )
    with pytest.raises(FileError, match=message) as caught:
        read_weights(path)
    assert len(str(caught.value)) < 600


def test_a_huge_header_of_safetensors_is_not_believed(tmp_path: Path) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes((2**63).to_bytes(8, "little") + b"{" + bytes(100))
    with pytest.raises(FileError, match="header too large"):
        read_weights(path)


def test_a_tensor_that_claims_to_be_huge_is_refused_by_its_shape(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    # Stride 0: one number stands for 10^12.
    state = {"weight": torch.zeros(1).expand(10**6, 10**6), "bias": torch.zeros(2)}
    with pytest.raises(UsageError, match=r"weight is \(1000000, 1000000\) where the network has"):
        fit_weights(network, saved(state, tmp_path))
