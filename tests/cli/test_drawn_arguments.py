"""Command lines and configuration files that hypothesis draws: a request, or our words."""

import contextlib
import importlib
import io
from unittest import mock

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autoseg.__main__ import COMMANDS
from autoseg.cli import arguments
from autoseg.cli.config_file import read_config, write_config
from autoseg.config import field_types, values_of
from autoseg.errors import UsageError
from autoseg.requests import SearchRequest
from tests.fuzzing import damaged_bytes, require_clean_refusals

WORDS = (
    *("", "-", "--", "-1", "0", "3", "1e-3", "1e999", "nan", "inf", "none", "auto", "tiny", "a,b"),
    *("10" * 200, "٣", "1_0", "a\x00b", "\x1b[31m", "\ud800", "../../x", "--config", "@file"),
)


LEADING = {
    "evaluate": ["run"],
    "export": ["run"],
    "predict": ["run", "a.png"],
    "tune": ["crf", "run"],
    "show": ["a.json"],
    "data": ["folder"],
    "crf": ["a.png", "b.png"],
    "cost": ["torch.nn:Identity"],
}
"""Arguments that a command does not do without."""

NIGHTLY = pytest.mark.nightly


class Stop(BaseException):
    """Ends a command when it has read its request."""


def reader_of(command):
    """Return what reads a command's arguments, as its `main` calls it."""
    main = importlib.import_module(COMMANDS[command][0]).main
    found = []

    def read(request_type, argv, **options):
        request = arguments.read_request(request_type, argv, **options)
        found.append(request)
        raise Stop

    def request_of(argv):
        found.clear()
        module = importlib.import_module(main.__module__)
        with mock.patch.object(module, "read_request", read), contextlib.suppress(Stop):
            main(list(argv))
        return found[0]

    return request_of


def words_of(request_of):
    """Return a command's options, with which its lines are drawn."""
    with contextlib.redirect_stdout(io.StringIO()) as text, contextlib.suppress(SystemExit):
        request_of(["--help"])
    options = {word.strip(",[]") for word in text.getvalue().split()}
    return sorted(word for word in options if word.startswith("--") and word.isascii())


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "command",
    [
        name if name in ("search", "evaluate", "predict") else pytest.param(name, marks=NIGHTLY)
        for name in COMMANDS
    ],
)
def test_a_command_line_is_a_request_that_a_file_can_hold_or_is_refused(command, tmp_path):
    request_of = reader_of(command)
    path = tmp_path / "run.toml"
    option = st.sampled_from(words_of(request_of))
    word = st.sampled_from(WORDS) | st.text(max_size=5)
    words = st.lists(option | word | st.tuples(option, word).map("=".join), max_size=6)
    num_read = 0

    @given(st.just([]) | st.just(LEADING.get(command, [])), words)
    @example([], ["--help"])
    @example([], ["--config"])
    def check(leading, words):
        nonlocal num_read
        argv = [*leading, *words]
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                request = request_of(argv)
        except UsageError as error:
            assert "\x1b" not in str(error) and "\0" not in str(error)
            return
        except SystemExit as end:
            assert end.code == 0  # --help, --print-config
            return
        num_read += 1
        with contextlib.suppress(UsageError):  # of a name that TOML cannot hold
            text = write_config(values_of(request), given=request.given, docs={})
            path.write_text(text, encoding="utf-8")
            again = request_of(["--config", str(path)])
            assert again == request and again.given == request.given

    check()
    assert num_read > 0, "no line was ever understood"


@pytest.mark.fuzz
def test_a_configuration_file_is_read_or_refused_by_name(memory_folder):
    types = field_types(SearchRequest)
    # A part of the fields, of every type: to find a line takes a parse of those before it.
    values = dict(list(values_of(SearchRequest()).items())[::4])
    text = write_config(values, given=frozenset(values), docs={})

    def read(path):
        with refused_as_one():
            read_config(path, types)

    require_clean_refusals(
        read,
        memory_folder / "run.toml",
        damaged_bytes(text.encode()),
        past=(b"a." * 100_000 + b"a = 1", b"".join(b"k%d = 1\n" % n for n in range(50_000))),
    )


@contextlib.contextmanager
def refused_as_one():
    """Judge the lines of a refusal one by one: a file may have several faults."""
    try:
        yield
    except UsageError as error:
        lines = str(error).splitlines()
        assert len(lines) <= 20
        assert all("run.toml" in line for line in lines), lines
        raise UsageError(lines[0]) from None
