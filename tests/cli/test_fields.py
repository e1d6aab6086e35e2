from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from autoseg.cli import read_fields
from autoseg.errors import UsageError


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    run: Path
    """Run folder."""
    images: tuple[Path, ...] = ()
    """Images."""
    strategy: Literal["darts", "random"] = "darts"
    """How alpha
    moves, 100% of it."""
    arch_lr: float = 3e-3
    """Learning rate of alpha."""
    batch_size: int
    """Images a step."""
    crop_size: tuple[int, int] | None = None
    """Crop, (height, width)."""
    scales: tuple[float, ...] = (1.0, 2.0)
    """Scales."""
    flip: bool = False
    """Flip as well."""


def read(*argv, positional=()):
    return read_fields(
        Config,
        list(argv),
        prog="python -m autoseg.x",
        description="Does it.",
        example="python -m autoseg.x --flip\npython -m autoseg.x --run a",
        positional=positional,
    )


def test_nothing_given_is_nothing():
    assert read() == {}


def test_every_type():
    given = "--run a/b --images c d --strategy random --arch-lr 1e-4 --batch-size 2"
    assert read(*given.split(), "--crop-size", "3", "5", "--scales", "0.5", "--flip") == {
        "run": Path("a/b"),
        "images": (Path("c"), Path("d")),
        "strategy": "random",
        "arch_lr": 1e-4,
        "batch_size": 2,
        "crop_size": (3, 5),
        "scales": (0.5,),
        "flip": True,
    }
    assert read("--no-flip", "--crop-size", "none") == {"crop_size": None, "flip": False}


def test_the_command_line_wins_over_the_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text(
        'run = "x"\narch-lr = 1\nbatch_size = 4\nflip = true\n'
        'crop_size = "none"\nscales = [1, 1.5]\nimages = ["a"]\n'
    )
    from_file = {
        "run": Path("x"),
        "images": (Path("a"),),
        "arch_lr": 1.0,
        "batch_size": 4,
        "crop_size": None,
        "scales": (1.0, 1.5),
        "flip": True,
    }
    assert read("--config", str(path)) == from_file
    assert isinstance(read("--config", str(path))["arch_lr"], float)
    given = read("--batch-size", "8", "--config", str(path), "--no-flip", "--crop-size", "2", "3")
    assert given == {**from_file, "batch_size": 8, "flip": False, "crop_size": (2, 3)}


@pytest.mark.parametrize(
    "argv", ["r a b --flip", "--flip r a b", "r --flip a b", "r a --flip b", "r a b --scales 1"]
)
def test_positional_arguments_mix_with_options(argv):
    given = read(*argv.split(), positional=("run", "images"))
    assert given["run"] == Path("r")
    assert given["images"] == (Path("a"), Path("b"))


def test_positional_arguments_from_the_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('run = "x"\nimages = ["a"]\n')
    positional = ("run", "images")
    given = read("--config", str(path), positional=positional)
    assert given == {"run": Path("x"), "images": (Path("a"),)}
    given = read("y", "--config", str(path), positional=positional)
    assert given == {"run": Path("y"), "images": (Path("a"),)}


def test_a_missing_positional_argument():
    with pytest.raises(UsageError, match=r"^RUN is missing\. See python -m autoseg\.x --help"):
        read(positional=("run", "images"))


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--arch-Ir 3", r"unknown option '--arch-Ir'; did you mean '--arch-lr'\?"),
        ("--arch-Ir=3", r"unknown option '--arch-Ir'; did you mean '--arch-lr'\?"),
        ("--no-flp", r"unknown option '--no-flp'; did you mean '--no-flip'\?"),
        # An abbreviation today is an ambiguity, or another option, tomorrow.
        ("--batch 3", r"unknown option '--batch'; did you mean '--batch-size'\?"),
        ("stray", r"unexpected argument 'stray'"),
        ("--strategy dart", r"unknown --strategy value 'dart'; did you mean 'darts'\?"),
        ("--batch-size 1e3", r"--batch-size must be a whole number, not '1e3'"),
        ("--arch-lr fast", r"--arch-lr must be a number, not 'fast'"),
        ("--arch-lr nan", r"--arch-lr must be a finite number, not nan"),
        ("--batch-size none", r"--batch-size must be a whole number, not 'none'"),
        ("--crop-size 3", r"--crop-size takes 2 values, not 1"),
        ("--scales 1 RUN", r"--scales must be a number, not 'RUN'"),
        ("--batch-size", r"--batch-size: expected one argument\. See python -m autoseg\.x --help"),
    ],
)
def test_what_the_command_line_refuses(argv, message):
    with pytest.raises(UsageError, match=message):
        read(*argv.split())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("arch_Ir = 1", r"run\.toml: unknown field 'arch_Ir'; did you mean 'arch_lr'\?"),
        ("[arch_lr]\na = 1", r"run\.toml: field 'arch_lr' must be a number, not \{'a': 1\}"),
        ("batch_size = 1.5", r"run\.toml: field 'batch_size' must be a whole number, not 1\.5"),
        ("batch_size = true", r"field 'batch_size' must be a whole number, not True"),
        ('batch_size = "2"', r"field 'batch_size' must be a whole number, not '2'"),
        ("flip = 1", r"field 'flip' must be true or false, not 1"),
        ("arch_lr = inf", r"field 'arch_lr' must be a finite number, not inf"),
        ("run = 3", r"field 'run' must be a path, not 3"),
        ('strategy = "dart"', r"field 'strategy': unknown value 'dart'; did you mean 'darts'\?"),
        ("scales = 1.0", r"field 'scales' must be a list \(.*\), not 1\.0"),
        ("crop_size = [1, 2, 3]", r"field 'crop_size' takes 2 values, not 3"),
        ("arch_lr = 1\narch-lr = 2", r"field 'arch_lr' is given twice"),
        ("arch_lr = ?", r"run\.toml is not valid TOML: .*line 1"),
    ],
)
def test_what_the_file_refuses(tmp_path, text, message):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read("--config", str(path))


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "none.toml"
    with pytest.raises(UsageError, match=rf"--config {path} cannot be read: No such file"):
        read("--config", str(path))


def test_help_shows_what_a_reader_needs(capsys):
    with pytest.raises(SystemExit) as caught:
        read("--help", positional=("run",))
    assert caught.value.code == 0
    text = capsys.readouterr().out
    words = " ".join(text.split())
    assert text.startswith("usage: python -m autoseg.x ")
    assert "Does it." in text
    assert "example:\n  python -m autoseg.x --flip\n  python -m autoseg.x --run a\n" in text
    assert "RUN Run folder. (a path; required)" in words
    assert "How alpha moves, 100% of it. (one of darts, random; default darts)" in words
    assert "--arch-lr X Learning rate of alpha. (a number; default 0.003)" in words
    assert "(2 values, each a whole number, or none; default none)" in words
    assert "(one or more values, each a number; default 1.0 2.0)" in words
    assert "--flip, --no-flip Flip as well. (true or false; default no)" in words
    assert "--config FILE.toml" in words
    assert max(map(len, text.splitlines())) <= 100


def test_a_reserved_name_is_a_mistake_of_the_program():
    @dataclass
    class Bad:
        config: str = ""

    with pytest.raises(TypeError, match=r"Bad: the field name 'config' is taken"):
        read_fields(Bad, [], prog="x", description="", example="")


@dataclass(frozen=True, kw_only=True, slots=True)
class Inheriting(Config):
    space: str = "a"
    """What is searched."""


def test_help_begins_with_what_the_command_adds(capsys):
    with pytest.raises(SystemExit):
        read_fields(
            Inheriting, ["--help"], prog="x", description="word " * 60, example="x", positional=()
        )
    text = capsys.readouterr().out
    options = text[text.index("options:") :]
    assert options.index("--space") < options.index("--run") < options.index("--flip")
    assert max(len(line) for line in text.splitlines()) <= 100
