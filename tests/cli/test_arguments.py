from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import pytest

from autoseg import user_imports
from autoseg.cli import read_request
from autoseg.config import Range, Request
from autoseg.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Settings(Request):
    images: tuple[Path, ...] = ()
    """Images."""
    strategy: Literal["darts", "random"] = "darts"
    """How alpha
    moves, 100% of it."""
    arch_lr: float = 3e-3
    """Learning rate of alpha."""
    batch_size: Annotated[int, Range(low=1)] = 7
    """Images a step."""
    crop_size: tuple[int, int] | None = None
    """Crop, (height, width)."""
    scales: tuple[float, ...] = (1.0, 2.0)
    """Scales."""
    flip: bool = False
    """Flip as well."""


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    run: Path = Path("here")
    """Run folder."""


@dataclass(frozen=True, kw_only=True)
class Required(Settings):
    run: Path
    """Run folder."""


def read(*argv, positional=(), config_type=Config):
    return read_request(
        config_type,
        list(argv),
        prog="python -m autoseg.x",
        description="Does it.",
        example="python -m autoseg.x --flip\npython -m autoseg.x --run a",
        positional=positional,
    )


def given(request):
    """What the user gave, by name."""
    return {name: getattr(request, name) for name in request.given}


def test_nothing_given_is_nothing():
    assert given(read()) == {}
    assert read() == Config()


def test_every_type():
    argv = "--run a/b --images c d --strategy random --arch-lr 1e-4 --batch-size 2"
    asked = read(*argv.split(), "--crop-size", "3", "5", "--scales", "0.5", "--flip")
    assert given(asked) == {
        "run": Path("a/b"),
        "images": (Path("c"), Path("d")),
        "strategy": "random",
        "arch_lr": 1e-4,
        "batch_size": 2,
        "crop_size": (3, 5),
        "scales": (0.5,),
        "flip": True,
    }
    assert given(read("--no-flip", "--crop-size", "none")) == {"crop_size": None, "flip": False}


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
    assert given(read("--config", str(path))) == from_file
    assert isinstance(read("--config", str(path)).arch_lr, float)
    asked = read("--batch-size", "8", "--config", str(path), "--no-flip", "--crop-size", "2", "3")
    assert given(asked) == {**from_file, "batch_size": 8, "flip": False, "crop_size": (2, 3)}


@pytest.mark.parametrize(
    "argv", ["r a b --flip", "--flip r a b", "r --flip a b", "r a --flip b", "r a b --scales 1"]
)
def test_positional_arguments_mix_with_options(argv):
    asked = read(*argv.split(), positional=("run", "images"))
    assert asked.run == Path("r")
    assert asked.images == (Path("a"), Path("b"))


def test_positional_arguments_from_the_file(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('run = "x"\nimages = ["a"]\n')
    positional = ("run", "images")
    asked = read("--config", str(path), positional=positional)
    assert given(asked) == {"run": Path("x"), "images": (Path("a"),)}
    asked = read("y", "--config", str(path), positional=positional)
    assert given(asked) == {"run": Path("y"), "images": (Path("a"),)}


def test_a_missing_positional_argument():
    with pytest.raises(UsageError, match=r"^RUN is missing\. See python -m autoseg\.x --help"):
        read(positional=("run", "images"), config_type=Required)
    with pytest.raises(UsageError, match=r"^--run is missing\. See python -m autoseg\.x --help"):
        read(config_type=Required)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ("--arch-Ir 3", r"unknown option '--arch-Ir'; did you mean '--arch-lr'\?"),
        ("--arch-Ir=3", r"unknown option '--arch-Ir'; did you mean '--arch-lr'\?"),
        ("--no-flp", r"unknown option '--no-flp'; did you mean '--no-flip'\?"),
        # An abbreviation today is an ambiguity, or another option, tomorrow.
        (
            "--batch 3",
            r"unknown option '--batch'; did you mean '--batch-size'\? See python -m "
            r"autoseg\.x --help\.$",
        ),
        ("--zzz", r"unknown option '--zzz'\. See python -m autoseg\.x --help\.$"),
        ("stray", r"unexpected argument 'stray'"),
        ("--strategy dart", r"unknown --strategy value 'dart'; did you mean 'darts'\?"),
        ("--batch-size 1e3", r"--batch-size must be a whole number, not '1e3'"),
        ("--arch-lr fast", r"--arch-lr must be a number, not 'fast'"),
        ("--arch-lr nan", r"--arch-lr must be a finite number, not nan"),
        ("--batch-size none", r"--batch-size must be a whole number, not 'none'"),
        ("--batch-size 0", r"--batch-size must be at least 1, not 0\."),
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
        ("arch_Ir = 1", r"run\.toml, line 1: unknown field 'arch_Ir'; did you mean 'arch_lr'\?"),
        (
            "[arch_lr]\na = 1",
            r"line 1: field 'arch_lr' must be a number, not \{'a': 1\}",
        ),
        (
            "batch_size = 1.5",
            r"line 1: field 'batch_size' must be a whole number, not 1\.5",
        ),
        ("batch_size = true", r"field 'batch_size' must be a whole number, not True"),
        ('batch_size = "2"', r"field 'batch_size' must be a whole number, not '2'"),
        ("flip = 1", r"field 'flip' must be true or false, not 1"),
        ("batch_size = 0", r"field 'batch_size' must be at least 1, not 0\."),
        (
            f"arch_lr = 1{'0' * 400}",
            r"must be a finite number, not 10{19}\.\.\. \(401",
        ),
        ("arch_lr = inf", r"field 'arch_lr' must be a finite number, not inf"),
        ("run = 3", r"field 'run' must be a path, not 3"),
        ('strategy = "dart"', r"field 'strategy': unknown value 'dart'; did you mean 'darts'\?"),
        ("scales = 1.0", r"field 'scales' must be a list \(.*\), not 1\.0"),
        ("crop_size = [1, 2, 3]", r"field 'crop_size' takes 2 values, not 3"),
        ("arch_lr = 1\narch-lr = 2", r"line 2: field 'arch-lr' is given twice"),
        ("arch_lr = ?", r"--config .*run\.toml is not valid TOML: .*line 1"),
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


def test_all_wrong_entries_are_named_at_once_with_their_lines(tmp_path):
    path = tmp_path / "run.toml"
    # What stands inside a text is no entry, and a key may be quoted.
    path.write_text(
        '# arch_Ir = 1\nrun = """\nbatch_sise = 3\n"""\nflip = true\n\n"arch_Ir" = 1\n'
        "batch_sise = 2\nscales = [\n  0.5,\n  nan]\n[crop_size]\na = 1\n"
    )
    with pytest.raises(UsageError) as caught:
        read("--config", str(path))
    lines = str(caught.value).splitlines()
    assert [line.split(": ", 1)[0] for line in lines] == [
        f"{path}, line {number}" for number in (7, 8, 9, 12)
    ]
    assert "unknown field 'arch_Ir'; did you mean 'arch_lr'?" in lines[0]
    assert "unknown field 'batch_sise'; did you mean 'batch_size'?" in lines[1]
    assert "field 'scales' must be a finite number, not nan." in lines[2]
    assert "field 'crop_size' must be a list" in lines[3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_may_begin_with_a_byte_order_mark(tmp_path, encoding):
    path = tmp_path / "run.toml"
    path.write_text('run = "Höhe"\n', encoding=encoding)
    assert read("--config", str(path)).run == Path("Höhe")


def test_a_file_in_another_encoding_is_refused(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('run = "x"\n', encoding="utf-16")
    with pytest.raises(UsageError, match=r"--config .*run\.toml is not valid TOML: 'utf-8' codec"):
        read("--config", str(path))


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--run", 'a "b"\\c\td', "--images", "x y", "ä\x7f", "--strategy", "random"],
        ["--arch-lr", "1e-05", "--crop-size", "none", "--scales", "0.1", "2", "--no-flip"],
        ["--batch-size", "3", "--crop-size", "4", "5", "--flip"],
    ],
)
def test_a_printed_file_reads_back_to_the_same_request(tmp_path, capsys, argv):
    asked = read(*argv)
    with pytest.raises(SystemExit) as caught:
        read(*argv, "--print-config")
    assert caught.value.code == 0
    path = tmp_path / "run.toml"
    path.write_text(capsys.readouterr().out)
    again = read("--config", str(path))
    assert again == asked
    assert again.given == asked.given
    # What was not given stands there too, ready to be uncommented.
    whole = path.read_text().replace("# Learn", "## Learn")
    everything = "".join(
        line.removeprefix("# ") + "\n"
        for line in whole.splitlines()
        if "=" in line and not line.startswith("##")
    )
    path.write_text(everything)
    assert read("--config", str(path)) == asked


def test_the_command_line_wins_over_the_file_in_what_is_printed(tmp_path, capsys):
    path = tmp_path / "run.toml"
    path.write_text("batch_size = 2\narch_lr = 0.5\n")
    with pytest.raises(SystemExit):
        read("--config", str(path), "--batch-size", "9", "--print-config")
    out = capsys.readouterr().out
    assert "\nbatch_size = 9\n" in out and "\narch_lr = 0.5\n" in out
    assert "\n# flip = false\n" in out


def test_an_error_wins_over_the_printed_file(capsys):
    with pytest.raises(UsageError, match="did you mean"):
        read("--batch-sise", "9", "--print-config")
    assert capsys.readouterr().out == ""


def test_help_shows_what_a_reader_needs(capsys):
    with pytest.raises(SystemExit) as caught:
        read("--help", positional=("run",), config_type=Required)
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
    assert "--batch-size N Images a step. (a whole number at least 1; default 7)" in words
    assert "--config FILE.toml" in words
    assert max(map(len, text.splitlines())) <= 100


def test_a_reserved_name_is_a_mistake_of_the_program():
    @dataclass
    class Bad:
        config: str = ""

    with pytest.raises(TypeError, match=r"Bad: the field name 'config' is taken"):
        read_request(Bad, [], prog="x", description="", example="")


@dataclass(frozen=True, kw_only=True)
class Inheriting(Config):
    space: str = "a"
    """What is searched."""


def test_help_begins_with_what_the_command_adds(capsys):
    with pytest.raises(SystemExit):
        read_request(
            Inheriting, ["--help"], prog="x", description="word " * 60, example="x", positional=()
        )
    text = capsys.readouterr().out
    options = text[text.index("options:") :]
    assert options.index("--space") < options.index("--run") < options.index("--flip")
    assert max(len(line) for line in text.splitlines()) <= 100


def test_help_shows_the_defaults_of_presets(capsys):
    with pytest.raises(SystemExit):
        read_request(
            Config,
            ["--help"],
            prog="x",
            description="",
            example="x",
            presets={"small": Config(batch_size=1), "large": Config(batch_size=9)},
        )
    words = " ".join(capsys.readouterr().out.split())
    assert "Images a step. (a whole number at least 1; default 1 (small), 9 (large))" in words
    assert "Learning rate of alpha. (a number; default 0.003)" in words


def test_python_of_ones_own_is_imported_on_the_command_line_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(user_imports, "_imported", [])
    file, config = tmp_path / "mine.py", tmp_path / "run.toml"
    file.write_text("print('ran')")
    options = {"prog": "x", "description": "", "example": ""}
    request = read_request(Config, ["--import", str(file), "--flip"], **options, takes_imports=True)
    assert given(request) == {"flip": True}
    assert capsys.readouterr().out == "ran\n"
    # Bad usage is found before anything runs, and a stranger's file makes nothing run.
    for key in ("import", "user_imports"):
        config.write_text(f"{key} = [{str(file)!r}]")
        with pytest.raises(UsageError, match=f"unknown field '{key}'"):
            read_request(Config, ["--config", str(config)], **options, takes_imports=True)
    with pytest.raises(UsageError, match="unknown option '--imports'; did you mean '--import'"):
        read_request(Config, ["--imports", str(file)], **options, takes_imports=True)
    with pytest.raises(UsageError, match="unknown option '--import'"):
        read_request(Config, ["--import", str(file)], **options)
    with pytest.raises(SystemExit):
        read_request(
            Config, ["--import", str(file), "--print-config"], **options, takes_imports=True
        )
    assert "import" not in capsys.readouterr().out
