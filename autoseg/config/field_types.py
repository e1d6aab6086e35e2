"""What a field's type accepts: on the command line, in a TOML file and in a run's record."""

import dataclasses
import functools
import math
import operator
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from autoseg.config.ranges import Range
from autoseg.errors import UsageError, unknown_name

Scalar = int | float | str | bool | Path


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FieldType:
    """A field's type: how to read it and how to describe it."""

    scalar: type
    """Type of the value, or of each item of a tuple."""
    choices: tuple[Scalar, ...] = ()
    """The values of a Literal; empty if any value goes."""
    words: tuple[str, ...] = ()
    """What may stand in place of the whole value, such as "auto"."""
    is_tuple: bool = False
    """True if the value is a tuple of scalars."""
    length: int | None = None
    """Number of items of a tuple; None takes any."""
    is_optional: bool = False
    """True if None is a value, which means "off"."""
    range: Range | None = None
    """What the number, or each of them, has to lie in; None takes any."""

    @property
    def is_flag(self) -> bool:
        """True if the option takes no value: --name or --no-name."""
        return self.scalar is bool

    @property
    def metavar(self) -> str | tuple[str, ...]:
        """What stands for the value in the usage line."""
        if self.choices:
            return "NAME"
        return {int: "N", float: "X", str: "TEXT", Path: "PATH"}[self.scalar]

    @property
    def description(self) -> str:
        """What the type accepts, in words, for the help text."""
        if self.choices:
            text = "one of " + ", ".join(map(str, self.choices))
        else:
            text = _WORDS[self.scalar]
        if self.range is not None:
            text += f" {self.range}"
        if self.is_tuple:
            text = f"{self.length or 'one or more'} values, each {text}"
        return text + self.or_else

    @property
    def or_else(self) -> str:
        """What may stand instead of such a value, in words: ", or auto, or none"."""
        return "".join(f", or {word}" for word in (*self.words, *["none"] * self.is_optional))

    def from_text(self, text: str | list[str], where: str) -> Any:
        """Convert what stands on the command line.

        Args:
            text: The argument; a list of them if the type is a tuple.
            where: The option's name, for the message.

        Returns:
            The value.

        Raises:
            UsageError: If the text is no such value.
        """
        if self.is_optional and text in ("none", ["none"]):
            return None
        if text in self.words or text in [[word] for word in self.words]:
            return text if isinstance(text, str) else text[0]
        if isinstance(text, str):
            return self._scalar_from_text(text, where)
        self._require_length(len(text), where)
        return tuple(self._scalar_from_text(item, where) for item in text)

    def from_toml(self, value: object, where: str) -> Any:
        """Convert what stands in a TOML file.

        Args:
            value: The value as tomllib reads it; the string "none" is None if that is allowed.
            where: The file and field, for the message.

        Returns:
            The value.

        Raises:
            UsageError: If the value has another type or is not among the choices.
        """
        if self.is_optional and value == "none":
            return None
        if value in self.words:
            return value
        if not self.is_tuple:
            return self._scalar_from_toml(value, where)
        if not isinstance(value, list):
            raise UsageError(f"{where} must be a list ({self.description}), not {value!r}.")
        self._require_length(len(value), where)
        return tuple(self._scalar_from_toml(item, where) for item in value)

    def from_json(self, value: object, where: str) -> Any:
        """Convert what stands in a record: as `from_toml`, and null is None."""
        return None if self.is_optional and value is None else self.from_toml(value, where)

    def _scalar_from_text(self, text: str, where: str) -> Scalar:
        if self.choices:
            for choice in self.choices:
                if str(choice) == text:
                    return choice
            raise unknown_name(f"{where} value", text, map(str, self.choices))
        try:
            value = self.scalar(text)
        except ValueError:
            wanted = f"{_WORDS[self.scalar]}{self.or_else}"
            raise UsageError(f"{where} must be {wanted}, not {text!r}.") from None
        return self._checked(value, where)

    def _scalar_from_toml(self, value: object, where: str) -> Scalar:
        if self.choices:
            if any(value == choice and type(value) is type(choice) for choice in self.choices):
                assert isinstance(value, Scalar)
                return value
            raise UsageError(
                f"{where}: {unknown_name('value', str(value), map(str, self.choices))}"
            )
        accepted = {float: (int, float), Path: (str,)}.get(self.scalar, (self.scalar,))
        # bool is an int to Python, not to a reader: num_layers = true is a mistake.
        if type(value) not in accepted:
            raise UsageError(f"{where} must be {_WORDS[self.scalar]}{self.or_else}, not {value!r}.")
        try:
            return self._checked(self.scalar(value), where)
        except OverflowError:  # a whole number that no float holds
            raise UsageError(f"{where} must be a finite number, not {_short(value)}.") from None

    def _checked(self, value: Any, where: str) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"{where} must be a finite number, not {value}.")
        if self.range is not None and value not in self.range:
            raise UsageError(f"{where} must be {self.range}{self.or_else}, not {_short(value)}.")
        return value

    def _require_length(self, num_items: int, where: str) -> None:
        if self.length is not None and num_items != self.length:
            raise UsageError(f"{where} takes {self.length} values, not {num_items}.")


_WORDS = {
    int: "a whole number",
    float: "a number",
    str: "text",
    bool: "true or false",
    Path: "a path",
}


@functools.cache
def field_types(config_type: type) -> dict[str, FieldType]:
    """Read the types of a dataclass's fields.

    Args:
        config_type: The dataclass.

    Returns:
        Field types by name, in the order of the fields.

    Raises:
        TypeError: If a field has a type that the command line cannot express.
    """
    hints = typing.get_type_hints(config_type, include_extras=True)
    found = {}
    for field in dataclasses.fields(config_type):
        try:
            found[field.name] = _field_type(hints[field.name])
        except TypeError as error:
            raise TypeError(f"{config_type.__name__}.{field.name}: {error}") from None
    return found


def _field_type(hint: Any) -> FieldType:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        ranges = [note for note in arguments[1:] if isinstance(note, Range)]
        return dataclasses.replace(_field_type(arguments[0]), range=ranges[0] if ranges else None)
    if origin in (Union, types.UnionType) and types.NoneType in arguments:
        rest = [argument for argument in arguments if argument is not types.NoneType]
        inner = _field_type(functools.reduce(operator.or_, rest))
        if not inner.is_flag:
            return dataclasses.replace(inner, is_optional=True)
    elif origin in (Union, types.UnionType) and len(arguments) == 2:
        words = [each for each in arguments if typing.get_origin(each) is Literal]
        others = [each for each in arguments if each not in words]
        inner = _field_type(others[0]) if len(words) == len(others) == 1 else None
        if inner is not None and inner.scalar in (int, float, Path):
            return dataclasses.replace(inner, words=typing.get_args(words[0]))
    elif origin is tuple and arguments:
        is_variadic = arguments[-1] is Ellipsis
        items = set(arguments[:-1] if is_variadic else arguments)
        inner = _field_type(items.pop()) if len(items) == 1 else None
        if inner is not None and not (inner.is_tuple or inner.is_optional or inner.is_flag):
            length = None if is_variadic else len(arguments)
            return dataclasses.replace(inner, is_tuple=True, length=length)
    elif origin is Literal:
        kinds = {type(choice) for choice in arguments}
        if kinds <= {int} or kinds <= {str}:
            return FieldType(scalar=kinds.pop(), choices=arguments)
    elif hint in _WORDS:
        return FieldType(scalar=hint)
    raise TypeError(f"the type {hint} cannot be given on a command line.")


def values_of(config: Any) -> dict[str, Any]:
    """Return the values of a dataclass's fields by name, as they are."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}


def require_in_range(config: Any) -> None:
    """Check the numbers of a configuration against the ranges in its fields' types.

    Args:
        config: An instance of a dataclass; its `__post_init__` calls this.

    Raises:
        UsageError: If a number is out of its range, with the name of its field.
    """
    for name, field_type in field_types(type(config)).items():
        value = getattr(config, name)
        if field_type.range is None or value is None or value in field_type.words:
            continue
        for number in value if field_type.is_tuple else (value,):
            if _as_stored(number, field_type.scalar) not in field_type.range:
                raise UsageError(
                    f"{name} = {_short(value)}: it must be {field_type.range}{field_type.or_else}."
                )


def _as_stored(number: int | float, scalar: type) -> int | float:
    try:
        return scalar(number)
    except OverflowError:  # a whole number that no float holds
        return math.inf


def shown(value: Any) -> str:
    """Write a field's value as a user would give it."""
    if value is None or value == ():
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return " ".join(shown(item) for item in value)
    return str(value)


def _short(value: object) -> str:
    """Write a value of the user's, whose digits may fill pages."""
    try:
        text = str(value)
    except ValueError:  # more digits than Python writes
        return "a number of thousands of digits"
    return text if len(text) <= 40 else f"{text[:20]}... ({len(text)} characters)"
