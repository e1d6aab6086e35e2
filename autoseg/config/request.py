"""What a user asks of a command, as one value."""

import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple, Self, TypeVar

from autoseg.config.field_types import field_types, require_in_range, values_of
from autoseg.errors import UsageError

Config = TypeVar("Config")


class Difference(NamedTuple):
    """A field in which two requests differ."""

    name: str
    """Name of the field."""
    theirs: Any
    """Value of the field in the other request."""
    ours: Any
    """Value of the field in this request."""


class Request:
    """Base of every command's request, a frozen dataclass.

    A request remembers which of its fields were named when it was built: a preset, or the run that
    is resumed, decides the others. Only ranges are checked here; what two fields say together is
    checked by the configuration that `pick` builds, when nothing is open any more.

    Attributes:
        given: Names of the fields that the user gave.
    """

    given: frozenset[str]

    def __new__(cls, **values: Any) -> Self:
        """Note the names that the constructor was called with."""
        request = object.__new__(cls)
        object.__setattr__(request, "given", frozenset(values))
        return request

    def __post_init__(self) -> None:
        """Check every number against its range.

        Raises:
            UsageError: If one is out of range.
        """
        require_in_range(self)

    def with_defaults(self, *configs: Any, **values: Any) -> Self:
        """Let others decide what the user left open.

        Args:
            configs: Dataclasses that have some of this request's fields, such as a preset.
            values: Fields by name. Of several that name a field, the last one decides.

        Returns:
            The request with these values in the fields that were not given; it still tells which
            ones were.
        """
        names = {field.name for field in dataclasses.fields(self)}  # pyright: ignore[reportArgumentType]
        open_names = names - self.given
        decided = {
            name: value
            for config in configs
            for name, value in values_of(config).items()
            if name in open_names
        }
        decided.update({name: value for name, value in values.items() if name in open_names})
        return self.with_values(**decided)

    def with_values(self, **values: Any) -> Self:
        """Return the request with other values; what counts as given stays the same."""
        request = dataclasses.replace(self, **values)  # pyright: ignore[reportArgumentType]
        object.__setattr__(request, "given", self.given)
        return request

    def pick(self, config_type: type[Config]) -> Config:
        """Build a configuration from the fields that it shares with this request.

        Raises:
            UsageError: If its fields cannot stand together.
        """
        names = [field.name for field in dataclasses.fields(config_type)]  # pyright: ignore[reportArgumentType]
        return config_type(**{name: getattr(self, name) for name in names})

    def refuse(self, names: Iterable[str], reason: str) -> None:
        """Refuse options that the user gave and that nothing would read.

        In silence they would seem to have an effect, though it be the default that was given. What
        is given as off (none, a flag's --no-..., no value) asks for nothing, and is let through.

        Args:
            names: Fields that are not read.
            reason: Why, and what to do, to follow the options' names.

        Raises:
            UsageError: If one was given.
        """
        asked = [name for name in names if name in self.given and not _is_off(getattr(self, name))]
        if asked:
            options = ", ".join(f"--{name.replace('_', '-')}" for name in asked)
            raise UsageError(f"{options}: {reason}")

    def words(self, names: Iterable[str]) -> list[str]:
        """Write fields as the words of a command line that say the same."""
        words: list[str] = []
        for name in names:
            value, option = getattr(self, name), name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                values = value if isinstance(value, tuple) else (value,)
                words += [
                    f"--{option}",
                    *("none" if each is None else str(each) for each in values),
                ]
        return words

    def differences(self, other: Self, *, ignoring: Collection[str] = ()) -> list[Difference]:
        """List the fields that the user gave and that another request has otherwise."""
        return [
            Difference(name, getattr(other, name), getattr(self, name))
            for name in values_of(self)
            if name in self.given
            and name not in ignoring
            and getattr(self, name) != getattr(other, name)
        ]


def _is_off(value: Any) -> bool:
    return value is None or value is False or value == ()


def read_values(config_type: type[Config], saved: Mapping[str, Any], *, where: str) -> Config:
    """Build a configuration from values that have been through JSON.

    Args:
        config_type: A dataclass.
        saved: Values by name; names that are no field of it are left out, and fields that it lacks
            keep their defaults.
        where: The file, for messages.

    Raises:
        UsageError: If a value is of the wrong type or out of range.
    """
    types = field_types(config_type)
    values = {
        name: types[name].from_json(saved[name], f"{where}: field {name!r}")
        for name in types
        if name in saved
    }
    return config_type(**values)
