"""What is logged reaches TensorBoard, by its own reader; without it the remedy is told."""

import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from autoseg import retrain, search
from autoseg.commands import tensorboard
from autoseg.commands.retrain_figures import draw_predictions
from autoseg.commands.tensorboard import FOLDER_NAME, mirrored, require_tensorboard
from autoseg.data import build_dataset
from autoseg.errors import UsageError


def test_a_missing_package_is_told_before_anything_is_done(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    monkeypatch.chdir(tmp_path)
    for command, arguments in ((search, []), (retrain, ["--network", "unet"])):
        with pytest.raises(UsageError, match=r'pip install "autoseg-nas\[tensorboard\]"'):
            command.main([*arguments, "--tensorboard", "--device", "cpu"])
    assert not list(tmp_path.iterdir())
    require_tensorboard(False)
    with mirrored(tmp_path, is_wanted=False) as board:
        board.add({"step": 1, "loss": 2.0})
        board.add_picture("trellis", BLACK, step=1)
    assert not list(tmp_path.iterdir())


BLACK = np.zeros((3, 5, 3), np.uint8)


class Writer:
    """Stands for TensorBoard's writer, where that is not installed."""

    made: list["Writer"]

    def __init__(self, folder):
        self.folder, self.scalars, self.images, self.is_closed = folder, [], [], False
        self.made.append(self)

    @classmethod
    def install(cls, monkeypatch):
        """Take the place of the package; return the list of the writers to be made."""
        cls.made = []
        module = ModuleType("torch.utils.tensorboard")
        module.SummaryWriter = cls
        monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
        return cls.made

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def add_image(self, name, pixels, step, *, dataformats):
        self.images.append((name, pixels.shape, step, dataformats))

    def close(self):
        self.is_closed = True


@pytest.fixture
def written(tmp_path, monkeypatch):
    return tmp_path, Writer.install(monkeypatch)


LINES = (
    {"step": 4, "loss": 2.5, "epoch": 1, "architecture": {"a": 1}, "is_it": True, "doubt": None},
    {"step": 8, "loss": float("nan"), "val_miou": 0.5},
)


def write(folder):
    (folder / "figures").mkdir()
    for name in ("cell", "path", "trellis"):
        Image.fromarray(BLACK).save(folder / "figures" / f"{name}.png")
    with mirrored(folder, is_wanted=True) as board:
        for line in LINES:
            board.add(line)
            board.add_picture("trellis", BLACK, step=line["step"])
        board.add_picture("path", BLACK[:2], step=4)


def test_numbers_become_scalars_and_figures_images_once_a_step(written):
    folder, made = written
    write(folder)
    (writer,) = made
    assert writer.folder == str(folder / FOLDER_NAME) and writer.is_closed
    assert writer.scalars == [("loss", 2.5, 4), ("epoch", 1, 4), ("val_miou", 0.5, 8)]
    images = [("trellis", 3, 4), ("trellis", 3, 8), ("path", 2, 4), ("cell", 3, 8), ("path", 3, 8)]
    assert writer.images == [
        (f"figures/{name}", (height, 5, 3), step, "HWC") for name, height, step in images
    ]


def test_of_several_processes_the_first_one_alone_writes(written, monkeypatch):
    folder, made = written
    monkeypatch.setattr(tensorboard, "is_first_process", lambda: False)
    write(folder)
    assert made == []


def test_predictions_stand_beside_image_and_truth():
    dataset = build_dataset("synthetic", split="val", image_size=(32, 48), num_classes=4)
    road = nn.Conv2d(3, 4, 1)
    nn.init.zeros_(road.weight)
    road.bias.data.copy_(torch.tensor([0.0, 1.0, 0.0, 0.0]))
    pixels = draw_predictions(road, dataset, device=torch.device("cpu"), image_scale=1.0)
    assert pixels is not None and pixels.shape == (3 * 36, 3 * 48, 3)
    first = dataset[0]
    assert (pixels[:32, :48] == first.picture.permute(1, 2, 0).numpy()).all()
    known = first.target.numpy() != dataset.ignore_index
    truth = pixels[:32, 48:96]
    assert (truth[known] == dataset.palette[first.target.numpy()[known]]).all()
    assert (truth[~known] == 0).all() and (pixels[:32, 96:] == dataset.palette[1]).all()


def test_tensorboard_reads_it(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(tmp_path)
    found = reader.EventAccumulator(str(tmp_path / FOLDER_NAME)).Reload()
    assert [(each.step, each.value) for each in found.Scalars("loss")] == [(4, 2.5)]
    assert [(each.step, each.width) for each in found.Images("figures/trellis")] == [(4, 5), (8, 5)]
