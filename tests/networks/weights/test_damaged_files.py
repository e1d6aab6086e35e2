"""Thousands of damaged files of weights: each is read, or refused in one line with its name."""

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from autoseg.errors import FileError
from autoseg.networks.weights import fit_weights, read_weights
from tests.fuzzing import damaged_bytes, require_clean_refusals


def saved(content: Any, folder: Path) -> Path:
    path = folder / "weights.pth"
    torch.save(content, path)
    return path


def network_and_content() -> tuple[nn.Module, dict[str, Any]]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    return network, {
        "model": state,
        "args": argparse.Namespace(lr=0.1, out=Path("x")),
        "best": np.float64(0.5),
    }


@pytest.mark.fuzz
def test_damaged_archives_are_read_or_refused_by_name(memory_folder: Path) -> None:
    network, content = network_and_content()
    path = saved(content, memory_folder)
    damaged = damaged_bytes(path.read_bytes())
    require_clean_refusals(lambda file: fit_weights(network, file), path, damaged)


@pytest.mark.fuzz
def test_damaged_pickles_in_whole_archives_are_read_or_refused_by_name(
    memory_folder: Path,
) -> None:
    network, content = network_and_content()
    path = saved(content, memory_folder)
    with zipfile.ZipFile(path) as whole:
        contents = {name: whole.read(name) for name in whole.namelist()}

    (pickled,) = [name for name in contents if name.endswith("/data.pkl")]

    def archived(damaged: bytes) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, content in (contents | {pickled: damaged}).items():
                archive.writestr(name, content)
        return buffer.getvalue()

    archives = damaged_bytes(contents[pickled]).map(archived)
    require_clean_refusals(lambda file: fit_weights(network, file), path, archives)


@pytest.mark.fuzz
def test_damaged_old_files_are_read_or_refused_by_name(memory_folder: Path) -> None:
    network, content = network_and_content()
    path = memory_folder / "old.pth"
    torch.save(content, path, _use_new_zipfile_serialization=False)
    damaged = damaged_bytes(path.read_bytes())
    require_clean_refusals(lambda file: fit_weights(network, file), path, damaged)


@pytest.mark.fuzz
def test_damaged_safetensors_are_read_or_refused_by_name(memory_folder: Path) -> None:
    network, _ = network_and_content()
    path = memory_folder / "weights.safetensors"
    safetensors.torch.save_file(network.state_dict(), path)
    damaged = damaged_bytes(path.read_bytes())
    require_clean_refusals(lambda file: fit_weights(network, file), path, damaged)


# Pickles that were refused with a library's bare words, or not at all.
CORPUS = (
    b"\x80\x02}q\x00X\x01\x00\x00\x00aq\x01h\x7fs.",
    b"\x80\x02cnumpy\ndtype\n(tR.",
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)R.",
    b"\x80\x02(((((((((((((((((((((((((((((((((((((((((((((((((((((((((.",
    b"\x80\x05\x95\x00\x00\x00\x00\x00\x00\x00\x00.",
    b"\x80\x02c__builtin__\nexec\nX\x05\x00\x00\x00print\x85R.",
    b"\x80\x02]q\x00h\x00a.",
    b"\x80\x02X\xff\xff\xff\x7fabc.",
    b"\x80\x02cargparse\nNamespace\n)\x81}b.",
    b"",
)


@pytest.mark.parametrize("pickled", CORPUS)
def test_hostile_pickles_are_refused_in_one_line(tmp_path: Path, pickled: bytes) -> None:
    path = saved({"conv.weight": torch.zeros(2, 3)}, tmp_path)
    with zipfile.ZipFile(path) as whole:
        contents = {name: whole.read(name) for name in whole.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            archive.writestr(name, pickled if name.endswith("/data.pkl") else content)
    for written in (path.read_bytes(), pickled + b"\x00"):
        path.write_bytes(written)
        with pytest.raises(FileError) as caught:
            read_weights(path)
        assert str(caught.value).isprintable() and str(path) in str(caught.value)
