"""Any torch module is counted by four counters, with a reason for each difference."""

import pytest

from autoseg import user_imports
from autoseg.cost import __main__ as cost
from autoseg.errors import UsageError

MODELS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, images):
        maps = self.norm(self.conv(images)).flatten(2).transpose(1, 2)
        return self.attend(maps, maps, maps, need_weights=False)[0]

def built():
    class Choosing(nn.Sequential):
        def forward(self, images):  # cannot run on shapes alone
            return super().forward(images if images.sum() > 0 else 1 - images)
    return Choosing(nn.Conv2d(3, 4, 1))

def sized(width):
    return built()

class Narrow(nn.Module):
    def forward(self, images):
        return images @ torch.zeros(5, 5)

class Means(nn.Module):  # of 3 x 7 pixels, in training mode
    def __init__(self):
        super().__init__()
        self.mean = nn.Conv2d(3, 1, (3, 7), padding=(1, 3))
        nn.init.constant_(self.mean.weight, 1 / 21)

    def forward(self, images):
        return self.mean(nn.functional.dropout(images, 0.9, self.training))

class Unpooled(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 4, 1), nn.MaxPool2d(2, return_indices=True)
        self.unpool, self.last = nn.MaxUnpool2d(2), nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, images):
        return self.last(self.unpool(*self.pool(self.conv(images))))

ready = built()
number = 3
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(user_imports, "_imported", [])
    (tmp_path / "models.py").write_text(MODELS)


def told(capsys, *arguments):
    assert cost.main(arguments) == 0
    return capsys.readouterr().out


def test_every_difference_has_a_reason(capsys):
    text = told(capsys, "models.py:Small", "--size", "32", "48")
    pixels, channels = 32 * 48, 8
    conv = pixels * channels * 3 * 9
    # Queries, keys, values and the output are products with 8 x 8; then all pairs of pixels, twice.
    attention = 4 * pixels * channels**2 + 2 * pixels**2 * channels
    parameters = channels * (3 * 9 + 1) + 2 * channels + 4 * channels * (channels + 1)
    assert text.startswith(
        f"Small: {parameters:,} parameters, {conv + attention:,} MACs for an image of "
        "32 x 48 (FLOPs are twice that)"
    )
    assert "| torch" in text and "fused operators, which it passes over" in text
    assert "functional calls and unknown modules are not seen" in text  # thop's
    assert "not explained" not in text


@pytest.mark.parametrize("name", ["built", "ready"])
def test_what_gives_a_module_and_depends_on_values_is_counted(capsys, name):
    text = told(capsys, f"models.py:{name}", "--size", "5", "7")
    assert f"{3 * 4 * 35:,} MACs" in text and text.count("counts the same.") == 3


def test_unpooling_of_a_users_module_is_counted_by_all(capsys):
    text = told(capsys, "models.py:Unpooled", "--size", "8", "12")
    assert f"{8 * 12 * (3 * 4 + 9 * 4 * 2):,} MACs" in text
    assert text.count("counts the same.") == 3


def test_a_network_of_the_zoo_is_counted_by_its_name(capsys):
    text = told(capsys, "segnet_basic", "--size", "32", "32", "--num-classes", "11")
    assert text.startswith("segnet_basic: ") and "| fvcore" in text
    assert "failed" not in text and "not explained" not in text


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("models.py:number", r"models\.py:number is int, not a torch module, and gives none"),
        ("models.py:sized", r"models\.py:sized has to give a network without arguments: .*width"),
        ("models.py:Smal", r"unknown name in models\.py 'Smal'; did you mean 'Small'\?"),
        ("models.py:Narrow", r"^Narrow: counting MACs: Narrow does not run on 'cpu'"),
        ("other.py:Small", r"--import other\.py: there is no such file"),
        ("segnet_basi", r"unknown network 'segnet_basi'; did you mean 'segnet_basic'\?"),
    ],
)
def test_what_cannot_be_counted_is_told_why(word, message):
    with pytest.raises(UsageError, match=message):
        cost.main([word, "--size", "8", "12"])


def test_a_configuration_file_imports_nothing(tmp_path):
    (tmp_path / "settings.toml").write_text("network = 'models.py:Small'\n")
    with pytest.raises(UsageError, match=r"unknown network 'models\.py:Small'"):
        cost.main(["--config", "settings.toml"])
    assert user_imports.imported() == ()


def test_the_receptive_field_is_told_where_it_is_asked_for(capsys):
    line = "Theoretical receptive field of the pixel in the centre: 1 x 1."
    assert line in told(capsys, "models.py:built", "--size", "8", "8", "--receptive-field")
    assert "receptive" not in told(capsys, "models.py:built", "--size", "8", "8")
    with pytest.raises(
        UsageError, match=r"^Small: receptive field: Small gives shape \(1, 64, 8\)"
    ):
        cost.main(["models.py:Small", "--size", "8", "8", "--receptive-field"])


def test_the_effective_field_is_told_where_it_is_asked_for(capsys):
    size = ("--size", "12", "27")
    line = (
        f"as large as a square of {21**0.5:.1f} pixels a side, the mean over 2 images of normal "
        f"noise; the whole image would be {18:.1f}."
    )
    assert line in told(capsys, "models.py:Means", *size, "--effective-field", "2")
    assert "ffective" not in told(capsys, "models.py:Means", *size)
    with pytest.raises(
        UsageError, match=r"^Small: effective field: Small gives shape \(1, 324, 8\)"
    ):
        cost.main(["models.py:Small", *size, "--effective-field", "1"])
