"""The errors that tell a user what to do."""

import errno
import json
from pathlib import Path

import pytest

from autoseg.errors import FileError, UsageError, reading, unknown_name
from tests.fuzzing import as_json, damaged_bytes, require_clean_refusals


def test_a_near_name_is_proposed():
    error = unknown_name("network", "icnet_resnet5", ["icnet_resnet50", "duc_hdc_resnet101"])
    assert isinstance(error, UsageError)
    assert str(error) == (
        "unknown network 'icnet_resnet5'; did you mean 'icnet_resnet50'? "
        "Known: duc_hdc_resnet101, icnet_resnet50."
    )


def test_no_name_is_proposed_where_none_is_near():
    error = unknown_name("strategy", "zzz", {"darts": 1, "random": 2})
    assert str(error) == "unknown strategy 'zzz'. Known: darts, random."


def test_the_nearest_of_several_is_proposed():
    error = unknown_name("dataset", "camvit", ["camera", "camvid", "cityscapes"])
    assert "did you mean 'camvid'?" in str(error)


OPTIONS = ["--loss", "--weight-lr", "--weight-lr-final", "--arch-lr", "--batch-size", "--preset"]
NETWORKS = ["unet", "icnet_pruned", "icnet_resnet50", "segnet_basic", "segnet_vgg16"]


@pytest.mark.parametrize(
    ("name", "known", "proposed"),
    [
        # A word of the name, not the most similar letters; the shortest first.
        ("--lr", OPTIONS, "'--arch-lr' or '--weight-lr' or '--weight-lr-final'"),
        ("--lr", ["--loss", "--learning-rate"], "'--learning-rate'"),
        ("--batch", OPTIONS, "'--batch-size'"),
        ("icnet", NETWORKS, "'icnet_pruned' or 'icnet_resnet50'"),
        ("pruned", NETWORKS, "'icnet_pruned'"),
        ("UNet", NETWORKS, "'unet'"),
        ("icnet-resnet50", NETWORKS, "'icnet_resnet50'"),
        # Nothing of the kind: the most similar.
        ("segnet_basik", NETWORKS, "'segnet_basic'"),
        ("--weight-Ir", OPTIONS, "'--weight-lr'"),
    ],
)
def test_words_of_a_name_go_before_similar_letters(name, known, proposed):
    text = str(unknown_name("name", name, known))
    assert text.startswith(f"unknown name {name!r}; did you mean {proposed}? Known: ")


@pytest.mark.parametrize("name", ["", "--", "§"])
def test_a_name_without_letters_has_none_near(name):
    assert str(unknown_name("name", name, ["a"])) == f"unknown name {name!r}. Known: a."


def test_callers_may_catch_a_value_error():
    with pytest.raises(ValueError, match=r"^unknown preset 'a'"):
        raise unknown_name("preset", "a", ["paper"])


def test_an_empty_table_says_so():
    assert str(unknown_name("preset", "tiny", [])) == "unknown preset 'tiny'. There is none."


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ValueError("bad magic\nmore"), "a.npy is not an array: bad magic."),
        (SyntaxError("broken PNG file"), "a.npy is not an array: broken PNG file."),
        (OSError("truncated"), "a.npy is not an array: truncated."),
        (RecursionError("maximum"), "a.npy is not an array: it is nested too deeply."),
        (KeyError("\x1b[31mx"), r"a.npy is not an array: '\x1b[31mx'."),
        (EOFError(), "a.npy is not an array: EOFError."),
        (MemoryError(), "a.npy: there is not enough memory to read it."),
    ],
)
def test_what_a_library_raises_becomes_one_line_with_the_file(raised, message):
    with pytest.raises(FileError) as caught, reading(Path("a.npy"), "an array"):
        raise raised
    assert str(caught.value) == message
    assert caught.value.__cause__ is raised


def test_what_the_file_system_refuses_keeps_its_type(tmp_path):
    path = tmp_path / "gone.npy"
    with pytest.raises(FileNotFoundError) as caught, reading(path, "an array"):
        path.read_bytes()
    assert str(caught.value) == f"{path} cannot be read: No such file or directory."
    assert caught.value.errno == errno.ENOENT


@pytest.mark.parametrize("kind", [UsageError, FileError])
def test_an_error_that_is_ours_passes_through(kind):
    with pytest.raises(kind) as caught, reading("a", "b"):
        raise kind("ours")
    assert str(caught.value) == "ours"


def test_a_long_message_is_cut():
    with pytest.raises(FileError) as caught, reading("a", "b"):
        raise ValueError("word " * 1000)
    assert len(str(caught.value)) < 330
    assert str(caught.value).endswith("word ....")


def test_a_reader_that_raises_its_own_or_names_no_file_is_found(memory_folder):
    path, contents = memory_folder / "a.json", damaged_bytes(as_json({"a": 1}))

    def careless(path):
        return json.loads(path.read_bytes())

    with pytest.raises(ValueError, match=r"line 1 column|codec can't decode"):
        require_clean_refusals(careless, path, contents)

    def nameless(path):
        with reading("b.json", "JSON"):
            careless(path)

    with pytest.raises(AssertionError, match=r"no file's name in .b\.json is not JSON"):
        require_clean_refusals(nameless, path, contents)
    with pytest.raises(AssertionError, match="the reader checks nothing"):
        require_clean_refusals(Path.read_bytes, path, contents)
    with pytest.raises(AssertionError, match="the past"):
        require_clean_refusals(refuse_the_past, path, contents, past=[b"past"])


def test_what_a_reader_fails_over_is_shown_as_small_as_may_be(memory_folder):
    num_read = 0

    def read(path):
        nonlocal num_read
        num_read += 1
        text = path.read_bytes()
        if text.startswith(b"a") and text.endswith(b"z"):
            raise KeyError
        if text != b"{}":
            raise FileError(f"{path} is not {{}}.")

    path = memory_folder / "a.json"
    require_clean_refusals(read, path, damaged_bytes(b"{}"))
    assert num_read >= 2000
    with pytest.raises(KeyError) as caught:
        require_clean_refusals(read, path, damaged_bytes(b"{}"), past=[b"abcdefghijklz"])
    assert caught.value.__notes__ == ["a.json held b'az'"]


def refuse_the_past(path):
    """Read what is not drawn, as an example of an earlier fault, wrongly."""
    assert path.read_bytes() != b"past", "the past"


def test_a_remedy_ends_the_message():
    message = "a.pth is not a file of weights: odd; copy it again."
    with (
        pytest.raises(FileError, match=f"^{message}$"),
        reading("a.pth", "a file of weights", remedy="copy it again"),
    ):
        raise ValueError("odd")
