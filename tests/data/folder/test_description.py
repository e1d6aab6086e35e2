"""dataset.toml is read strictly: each mistake is named."""

import re

import pytest

from autoseg.data.folder.description import ClassEntry, read_description
from autoseg.errors import FileError
from tests.fuzzing import damaged_bytes, require_clean_refusals

WHOLE = """
images = "photos"
channels = 1
mean = [0.5]
std = [0.25]
val_share = 0.1
ignore_value = [255, 254]

[splits]
val = ["a", "b"]

[[classes]]
name = "glass"
value = 0
colour = [1, 2, 3]

[[classes]]
name = "cell"
value = [1, 7]
colour = [[4, 5, 6], [7, 8, 9]]
"""


def test_a_whole_description(tmp_path):
    path = tmp_path / "dataset.toml"
    path.write_text(WHOLE)
    read = read_description(path)
    assert (read.settings.images, read.settings.channels, read.settings.val_share) == (
        *("photos", 1),
        0.1,
    )
    assert (read.ignore_values, read.ignore_colours) == ((255, 254), None)
    assert read.splits == {"val": ("a", "b")}
    assert read.classes == (
        ClassEntry(name="glass", values=(0,), colours=((1, 2, 3),)),
        ClassEntry(name="cell", values=(1, 7), colours=((4, 5, 6), (7, 8, 9))),
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chanels = 1", "unknown field 'chanels'; did you mean 'channels'?"),
        ("channels = 17", "field 'channels' must be from 1 to 16, or none, not 17."),
        ("val_share = 1.0", "field 'val_share' must be above 0 and below 1, not 1.0."),
        ("images = '/data'", "'/data' leads out of the dataset's folder; name a folder in it."),
        ("masks = '../masks'", "'../masks' leads out of the dataset's folder"),
        ("mean = [0.5]", "mean and std must be given together, or neither."),
        ("mean = [0.5]\nstd = [1.0, 2.0]", "mean has 1 value(s) and std 2, but there must be one"),
        ("group_by = '('", "group_by '(' is no regular expression: "),
        ("group_by = 'p'", "group_by 'p' has no group; put what an image's group is told by"),
        ("ignore_value = -1", "ignore_value must be whole numbers from 0, not -1."),
        ("ignore_colour = [0, 0]", "ignore_colour must be [red, green, blue], each from 0 to 255"),
        ("[splits]\nvalid = []", "splits: unknown split 'valid'; did you mean 'val'?"),
        ("[splits]\nval = ['a']\ntest = ['a']", "splits: 'a' is in val and in test."),
        ("classes = 3", "classes must be a list, not 3."),
        ("[[classes]]\nvalue = 1", "classes, entry 1 needs a name, not None."),
        ("[[classes]]\nname = 'a'\ncolor = [1, 2, 3]", "unknown field 'color'; did you mean"),
        (
            "[[classes]]\nname = 'a'\nvalue = 1\n[[classes]]\nname = 'b'\nvalue = [2, 1]",
            "the value 1 is that of 'a' and 'b'; each needs its own.",
        ),
        ("[[classes]]\nname = 'a'\n[[classes]]\nname = 'a'", "the name 'a' is that of two classes"),
        (
            "[[classes]]\nname = 'a'\nvalue = 1\n[[classes]]\nname = 'b'",
            "class 'b' has no value, though others have; give each class one, or none.",
        ),
        ("= 1", "is not a TOML file: "),
    ],
)
def test_mistakes_are_named(tmp_path, text, message):
    path = tmp_path / "dataset.toml"
    path.write_text(text)
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        read_description(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.fuzz
def test_damaged_descriptions_are_read_or_refused_by_their_name(memory_folder):
    contents = damaged_bytes(WHOLE.encode())
    require_clean_refusals(read_description, memory_folder / "dataset.toml", contents)
