"""Read a command's arguments into its request.

The request, a frozen dataclass, is the only declaration: the options, their help, types, ranges and
defaults, and the keys of a configuration file all come from it.
"""

import argparse
import dataclasses
import inspect
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from autoseg.cli.config_file import read_config, write_config
from autoseg.cli.field_docs import field_docs
from autoseg.config import FieldType, field_types, values_of
from autoseg.config.field_types import shown
from autoseg.errors import UsageError, unknown_name
from autoseg.user_imports import import_for_user

RequestT = TypeVar("RequestT")

_RESERVED = ("config", "help", "print_config", "user_imports")
_HELP_WIDTH = 100
_MISSING = dataclasses.MISSING


class _Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that every bad usage is reported in one way."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}. See {self.prog} --help.")


def read_request(
    request_type: type[RequestT],
    argv: Sequence[str] | None = None,
    *,
    prog: str,
    description: str,
    example: str,
    positional: Sequence[str] = (),
    presets: Mapping[str, Any] | None = None,
    takes_imports: bool = False,
) -> RequestT:
    """Build a request from what the user says on the command line or in a file.

    Each field `some_name` is an option `--some-name` (`--some-name/--no-some-name` if it is a
    bool), and a key of the TOML file named by `--config`. The command line wins over the file.
    Relative paths are relative to the current folder, in the file too.

    Args:
        request_type: A dataclass whose fields are int, float, str, bool, Path, Literal, a tuple of
            such, or one of these `| None`, and numbers may have a `Range`; `none` on the command
            line means None, that is, off. The text under a field is its help.
        argv: Arguments without the program's name; None takes this process's.
        prog: The command as the user types it, for example "python -m autoseg.search".
        description: What the command does.
        example: One or more command lines.
        positional: Fields that are arguments instead of options; a tuple takes any number.
        presets: Dataclasses by the name of a preset, whose values the help shows as defaults.
        takes_imports: Whether there is an option `--import`, which runs Python of the user's own.
            It is no field: a configuration file, which may come from anyone, cannot hold it.

    Returns:
        The request, built from the given fields alone.

    Raises:
        UsageError: If an option, key or value is unknown, of the wrong type or out of range, or
            one without a default is missing.
        TypeError: If a field has a type that the command line cannot express.
        SystemExit: With code 0, after `--help` or `--print-config`.
    """
    types = field_types(request_type)
    for name in types:
        if name in _RESERVED:
            raise TypeError(
                f"{request_type.__name__}: the field name {name!r} is taken by the CLI."
            )
    defaults = _defaults(request_type, presets or {})
    parser = _build_parser(
        request_type,
        types,
        defaults,
        prog=prog,
        description=description,
        example=example,
        names=positional,
        takes_imports=takes_imports,
    )
    # Intermixed: options may stand between positional arguments, as in `predict RUN --crf IMAGE`.
    arguments = sys.argv[1:] if argv is None else list(argv)
    texts, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown:
        raise _unknown_argument(unknown, types, positional, prog, takes_imports)
    values = {} if texts.config is None else read_config(texts.config, types)
    for name, text in vars(texts).items():
        # argparse's "not given" of a positional argument is None or an empty list.
        if name in _RESERVED or (name in positional and text in (None, [])):
            continue
        where = _label(name, positional)
        values[name] = text if types[name].is_flag else types[name].from_text(text, where)
    for name in types:
        if name not in values and defaults[name] is _MISSING:
            raise UsageError(f"{_label(name, positional)} is missing. See {prog} --help.")
    request = request_type(**{name: values[name] for name in types if name in values})
    if texts.print_config:
        print(
            write_config(
                values_of(request), given=frozenset(values), docs=field_docs(request_type)
            ),
            end="",
        )
        sys.exit(0)
    for word in texts.user_imports if takes_imports else ():
        import_for_user(word)
    return request


def _build_parser(
    request_type: type,
    types: dict[str, FieldType],
    defaults: dict[str, Any],
    *,
    prog: str,
    description: str,
    example: str,
    names: Sequence[str],
    takes_imports: bool,
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
    docs = field_docs(request_type)
    for name in names:
        if name not in types:
            raise unknown_name("positional field", name, types)
    # What a command adds to the settings that it inherits is what its users look for first.
    own_first = dict.fromkeys(
        name
        for base in request_type.__mro__
        for name in inspect.get_annotations(base)
        if name in types and name not in names
    )
    for name in (*names, *own_first):
        field_type = types[name]
        text = _help_text(docs.get(name, ""), field_type, defaults[name])
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
    if takes_imports:
        parser.add_argument(
            "--import",
            dest="user_imports",
            action="append",
            default=[],
            metavar="FILE.py|MODULE",
            help="Python of your own to run first, which adds operations, say "
            "(docs/adding_operations.md); may be given several times, on the command line alone",
        )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE.toml",
        help="file that holds the same fields, one `name = value` a line; the command line wins",
    )
    parser.add_argument(
        "--print-config",
        action="store_true",
        help="print these options as such a file, those not given as comments, and do nothing else",
    )
    return parser


def _unknown_argument(
    unknown: Sequence[str],
    types: dict[str, FieldType],
    positional: Sequence[str],
    prog: str,
    takes_imports: bool,
) -> UsageError:
    options = [argument for argument in unknown if argument.startswith("-")]
    if not options:
        return UsageError(f"unexpected argument {unknown[0]!r}. See {prog} --help.")
    known = [_label(name, positional) for name in types if name not in positional]
    flags = [f"--no-{name[2:]}" for name in known if types[_field_of(name)].is_flag]
    others = ["--config", "--print-config", *(["--import"] if takes_imports else [])]
    option = options[0].partition("=")[0]
    # A command may have sixty options, and only one of them was meant.
    return unknown_name("option", option, [*known, *flags, *others], listing=f"See {prog} --help.")


def _label(name: str, positional: Sequence[str]) -> str:
    return name.upper() if name in positional else "--" + name.replace("_", "-")


def _field_of(option: str) -> str:
    return option[2:].replace("-", "_")


def _defaults(request_type: type, presets: Mapping[str, Any]) -> dict[str, Any]:
    """Return what stands in a field that is not given: a text where it depends on the preset."""
    defaults = {}
    for field in dataclasses.fields(request_type):
        if field.default_factory is not _MISSING:
            defaults[field.name] = field.default_factory()
        else:
            defaults[field.name] = field.default
        values = {name: getattr(each, field.name, _MISSING) for name, each in presets.items()}
        if len(set(values.values()) - {_MISSING}) > 1:
            defaults[field.name] = ", ".join(
                f"{shown(value)} ({name})" for name, value in values.items()
            )
    return defaults


def _help_text(doc: str, field_type: FieldType, default: Any) -> str:
    note = field_type.description
    note += "; required" if default is _MISSING else f"; default {shown(default)}"
    # argparse reads % as the start of a format.
    return f"{doc} ({note})".strip().replace("%", "%%")


def _indented(text: str) -> str:
    return "\n".join(f"  {line.strip()}" for line in text.strip().splitlines())
