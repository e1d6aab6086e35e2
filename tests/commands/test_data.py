"""`python -m autoseg.data`: the card of a dataset, and a first dataset.toml."""

import re

import numpy as np
import pytest
from PIL import Image

from autoseg.data import FolderImages
from autoseg.data.__main__ import main
from autoseg.errors import FileError, UsageError
from tests.data.folder.drawing import binary_folder, grey, mask, save

NAMES = ("images/cell_0.png", "masks/cell_1.png", "masks/cell_3.png")


def test_a_card_is_printed_and_saved_with_a_contact_sheet(tmp_path, capsys):
    root, out = binary_folder(tmp_path / "cells"), tmp_path / "card"
    assert main([str(root), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "| train | 4      | 10 x 14        | 1        | 0               |" in printed
    assert "| 1 | foreground | 50.0%         | 4      | 50.0%       | 1      |" in printed
    assert "Nothing is wrong with it that could be found." in printed
    assert f"next: python -m autoseg.search --dataset folder --data-root {root}" in printed
    assert f"open {(out / 'samples.png').as_uri()}\n" in printed
    assert sorted(path.name for path in out.iterdir()) == ["card.md", "samples.png"]
    assert (out / "card.md").read_text().startswith(f"# {root}\n")
    with Image.open(out / "samples.png") as sheet:
        assert sheet.width > 500


def test_faults_end_with_exit_code_1(tmp_path, capsys):
    root = binary_folder(tmp_path / "cells")
    (root / "dataset.toml").write_text(
        'ignore_value = 7\n[[classes]]\nname = "a"\nvalue = 0\n[[classes]]\nname = "b"\nvalue = 1\n'
    )
    assert main([str(root), "--out", str(tmp_path / "card")]) == 1
    printed, said = capsys.readouterr()
    assert "data: no test split is shown, and no training needs one: folder: " in said
    assert "no contact sheet: mend the faults, and run this again" in said
    assert "next: " not in printed  # a search would fail
    assert "## Faults: a training would fail" in printed
    assert "Nothing is wrong" not in printed


def test_every_pair_that_does_not_fit_is_named(tmp_path):
    root = binary_folder(tmp_path / "cells")
    for number in (1, 3):
        save(root / f"masks/cell_{number}.png", mask(0, 255, size=(5, 5)))
    with pytest.raises(FileError, match=r"^2 files cannot be used:\n  .*cell_1.*\n  .*cell_3"):
        main([str(root), "--out", str(tmp_path / "card")])


def test_what_headers_do_not_tell_is_named_with_what_they_tell(tmp_path, capsys):
    root = binary_folder(tmp_path / "cells")
    save(root / "masks/cell_1.png", mask(0, 255, size=(5, 5)))
    for name in ("images/cell_0.png", "masks/cell_3.png"):
        path = root / name
        path.write_bytes(path.read_bytes()[:45])  # the header is whole
    with pytest.raises(FileError) as raised:
        main([str(root), "--out", str(tmp_path / "card")])
    said = str(raised.value).split("\n  ")
    assert said[0] == "3 files cannot be used:"
    assert [next(name for name in NAMES if name in line) for line in said[1:]] == [
        "images/cell_0.png",
        "masks/cell_1.png",
        "masks/cell_3.png",
    ]
    assert "all others are read, to name what is wrong" in capsys.readouterr().err


def test_what_no_image_can_mend_is_said_without_reading_them(tmp_path, capsys):
    root = binary_folder(tmp_path / "cells")
    (root / "dataset.toml").write_text("mean = [0.1, 0.2, 0.3]\nstd = [1.0, 1.0, 1.0]\n")
    with pytest.raises(FileError, match=r"mean and std have 3 value\(s\), but the images have 1"):
        main([str(root), "--out", str(tmp_path / "card")])
    assert "are read" not in capsys.readouterr().err


def test_a_dataset_by_its_name(tmp_path, capsys):
    arguments = ["synthetic", "--num-samples", "0", "--out", str(tmp_path / "card")]
    with pytest.raises(UsageError, match="synthetic: data_root 'x' has no meaning"):
        main([*arguments, "--data-root", "x"])
    with pytest.raises(UsageError, match=r"a b: name one folder or dataset, or `init` and a fol"):
        main(["a", "b"])
    with pytest.raises(UsageError, match=r"nowhere does not exist; name the folder that holds im"):
        main([str(tmp_path / "nowhere")])


def test_init_writes_what_the_folder_is_read_by(tmp_path, capsys):
    root = binary_folder(tmp_path / "cells")
    before = FolderImages(split="train", data_root=root)
    assert main(["init", str(root)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "images/ and masks/: 5 images with 1 channel(s)",
        "2 classes from the numbers in the masks: 0, 255",
        f"saved {root}/dataset.toml: read it, and give the classes their names",
        f"next: python -m autoseg.data {root}",
    ]
    after = FolderImages(split="train", data_root=root)
    assert after.fingerprint() == before.fingerprint()
    assert after.palette.tolist() == before.palette.tolist()
    with pytest.raises(UsageError, match=r"dataset.toml exists already; move it away, or name"):
        main(["init", str(root)])


@pytest.mark.parametrize(
    "masks",
    [
        [mask(0, 1, 255), mask(2, 3)],
        [np.array([[[0, 0, 0], [200, 10, 20]], [[7, 8, 9], [0, 0, 1]]], np.uint8)] * 2,
    ],
)
def test_init_describes_numbers_and_colours(tmp_path, masks):
    for number, pixels in enumerate(masks):
        save(tmp_path / f"images/{number}.png", grey(number, pixels.shape[:2]))
        save(tmp_path / f"masks/{number}.png", pixels)
    before = FolderImages(split="train", data_root=tmp_path)
    main(["init", str(tmp_path)])
    assert FolderImages(split="train", data_root=tmp_path).fingerprint() == before.fingerprint()


def test_init_proposes_what_a_training_would_not_guess(tmp_path, capsys):
    for number in range(2):
        save(tmp_path / f"images/{number}.png", grey(number))
        save(tmp_path / f"masks/{number}.png", mask(0, 128, 255))
    with pytest.raises(UsageError, match=r"spread like brightness"):
        FolderImages(split="train", data_root=tmp_path)
    main(["init", str(tmp_path)])
    note = "255 in masks may mark pixels without a class: ignore_value = 255 then"
    assert note in capsys.readouterr().out
    train = FolderImages(split="train", data_root=tmp_path)
    assert train.class_names == ("class 0", "class 128", "class 255")
    text = (tmp_path / "dataset.toml").read_text()
    (tmp_path / "dataset.toml").write_text(re.sub('"class 128"', '"cell"', text))
    assert FolderImages(split="val", data_root=tmp_path).class_names[1] == "cell"


def test_a_contact_sheet_is_not_written_among_the_images(tmp_path):
    root = binary_folder(tmp_path / "cells")
    (root / "images/cell_1.png").rename(root / "images/samples.png")
    (root / "masks/cell_1.png").rename(root / "masks/samples.png")
    before = (root / "images/samples.png").read_bytes()
    with pytest.raises(UsageError, match=r"--out .*images holds images of the dataset \(cell_0"):
        main([str(root), "--out", str(root / "images")])
    assert (root / "images/samples.png").read_bytes() == before
    assert not (root / "images/card.md").exists()
