"""Read a command's arguments into the fields of its configuration.

The configuration, a frozen dataclass, is the only declaration: the options, their help, types and
defaults, and the keys of a configuration file all come from it.
"""

import argparse
import dataclasses
import inspect
import sys
import textwrap
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from autoseg.cli.field_docs import field_docs
from autoseg.cli.field_types import FieldType, field_types
from autoseg.errors import UsageError, unknown_name

_RESERVED = ("config", "help")
_HELP_WIDTH = 100
_MISSING = dataclasses.MISSING


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that every bad usage is reported in one way."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See {self.prog} --help.")


def read_fields(
    config_type: type,
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str,
    example: str,
    positional: Sequence[str] = (),
) -> dict[str, Any]:
    """Read the fields that the user gave, on the command line or in a file.

    Each field `some_name` is an option `--some-name` (`--some-name/--no-some-name` if it is a
    bool), and a key of the TOML file named by `--config`. The command line wins over the file.
    Relative paths are relative to the current folder, in the file too.

    Args:
        config_type: A dataclass whose fields are int, float, str, bool, Path, Literal, a tuple of
            such, or one of these `| None`; `none` on the command line means None, that is, off.
            The text under a field is its help.
        argv: Arguments without the program's name; None takes this process's.
        prog: The command as the user types it, for example "python -m autoseg.search".
        description: What the command does.
        example: One or more command lines.
        positional: Fields that are arguments instead of options; one without a default must be
            given, and a tuple takes any number.

    Returns:
        Values by field name, in the order of the fields, of the given ones alone: presets and
        defaults are the caller's.

    Raises:
        UsageError: If an option, key or value is unknown, of the wrong type or missing.
        TypeError: If a field has a type that the command line cannot express.
        SystemExit: With code 0, after `--help` was printed.
    """
    types = field_types(config_type)
    for name in types:
        if name in _RESERVED:
            raise TypeError(f"{config_type.__name__}: the field name {name!r} is taken by the CLI.")
    parser = _build_parser(
        config_type, types, prog=prog, description=description, example=example, names=positional
    )
    # Intermixed: options may stand between positional arguments, as in `predict RUN --crf IMAGE`.
    arguments = sys.argv[1:] if argv is None else list(argv)
    texts, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        raise _unknown_argument(unknown, types, positional, prog)
    given = {name: text for name, text in vars(texts).items() if name != "config"}
    values = {} if texts.config is None else _read_file(texts.config, types)
    for name, text in given.items():
        if name in positional and text in (None, []):  # argparse's "not given"
            continue
        where = _label(name, positional)
        values[name] = text if types[name].is_flag else types[name].from_text(text, where)
    for field in dataclasses.fields(config_type):
        if field.name in positional and field.name not in values and _default_of(field) is _MISSING:
            raise UsageError(f"{_label(field.name, positional)} is missing. See {prog} --help.")
    return {name: values[name] for name in types if name in values}


def _build_parser(
    config_type: type,
    types: dict[str, FieldType],
    *,
    prog: str,
    description: str,
    example: str,
    names: Sequence[str],
) -> _Parser:
    parser = _Parser(
        prog=prog,
        description=textwrap.fill(description, _HELP_WIDTH),
        epilog=f"example:\n{_indented(example)}",
        formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
            prog, max_help_position=28, width=_HELP_WIDTH
        ),
        allow_abbrev=False,
    )
    docs = field_docs(config_type)
    fields = {field.name: field for field in dataclasses.fields(config_type)}
    for name in names:
        if name not in fields:
            raise unknown_name("positional field", name, fields)
    # What a command adds to the settings that it inherits is what its users look for first.
    own_first = dict.fromkeys(
        name
        for base in config_type.__mro__
        for name in inspect.get_annotations(base)
        if name in fields and name not in names
    )
    for name in (*names, *own_first):
        field_type = types[name]
        default = _default_of(fields[name])
        text = _help_text(docs.get(name, ""), field_type, default, is_positional=name in names)
        if name in names:
            count = "*" if field_type.is_tuple else "?"
            metavar = _label(name, names)
            parser.add_argument(name, nargs=count, metavar=metavar, help=text)
        elif field_type.is_flag:
            parser.add_argument(
                _label(name, names),
                dest=name,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=text,
            )
        else:
            parser.add_argument(
                _label(name, names),
                dest=name,
                nargs="+" if field_type.is_tuple else None,
                metavar=field_type.metavar,
                default=argparse.SUPPRESS,
                help=text,
            )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.toml",
        help="file that holds the same fields, one `name = value` a line; the command line wins",
    )
    return parser


def _read_file(path: Path, types: dict[str, FieldType]) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            table = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"--config {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:  # tomllib.TOMLDecodeError, or not UTF-8
        raise UsageError(f"{path} is not valid TOML: {error}.") from None
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name not in types:
            raise UsageError(f"{path}: {unknown_name('field', key, types)}")
        if name in values:
            raise UsageError(f"{path}: field {name!r} is given twice, with '-' and with '_'.")
        values[name] = types[name].from_toml(value, f"{path}: field {key!r}")
    return values


def _unknown_argument(
    unknown: Sequence[str], types: dict[str, FieldType], positional: Sequence[str], prog: str
) -> UsageError:
    options = [argument for argument in unknown if argument.startswith("-")]
    if not options:
        return UsageError(f"unexpected argument {unknown[0]!r}. See {prog} --help.")
    known = [_label(name, positional) for name in types if name not in positional]
    flags = [f"--no-{name[2:]}" for name in known if types[_field_of(name)].is_flag]
    return unknown_name("option", options[0].partition("=")[0], [*known, *flags, "--config"])


def _label(name: str, positional: Sequence[str]) -> str:
    return name.upper() if name in positional else "--" + name.replace("_", "-")


def _field_of(option: str) -> str:
    return option[2:].replace("-", "_")


def _default_of(field: dataclasses.Field[Any]) -> Any:
    if field.default_factory is not _MISSING:
        return field.default_factory()
    return field.default


def _help_text(doc: str, field_type: FieldType, default: Any, *, is_positional: bool) -> str:
    note = field_type.description
    if default is not _MISSING:
        note += f"; default {_shown(default)}"
    elif is_positional:  # an option without a default may be set by a preset
        note += "; required"
    # argparse reads % as the start of a format.
    return f"{doc} ({note})".strip().replace("%", "%%")


def _shown(value: Any) -> str:
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(_shown(item) for item in value)
    return str(value)


def _indented(text: str) -> str:
    return "\n".join(f"  {line.strip()}" for line in text.strip().splitlines())
