"""Networks as a user names them: fixed ones by name, families together with encoders."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from autoseg.errors import UsageError, unknown_name
from autoseg.networks.encoders import ENCODERS
from autoseg.networks.families import FAMILIES
from autoseg.networks.registry import NETWORKS


class NamedNetwork(NamedTuple):
    """A network that `build_network` builds by name."""

    name: str
    """A name in `NETWORKS`, or in `FAMILIES` together with an encoder."""
    encoder: str | None = None
    """The family's encoder, a name in `ENCODERS`; None for a fixed network."""

    @property
    def label(self) -> str:
        """What folders and tables call it."""
        return self.name if self.encoder is None else f"{self.name}_{self.encoder}"


def named_networks(
    names: Sequence[str], encoders: Sequence[str], *, option: str = "--network"
) -> list[NamedNetwork]:
    """List the networks that a command line names.

    Args:
        names: Fixed networks and families.
        encoders: Encoders that every family among them is built over.
        option: The option that the names follow, for messages.

    Returns:
        The fixed networks, and each family over each encoder, in the order of the names.

    Raises:
        UsageError: If a name is unknown, a family has no encoder, or there are encoders and no
            family.
    """
    networks = [each for name in names for each in networks_called(name, encoders, option=option)]
    require_family(names, encoders, option=option)
    return networks


def networks_called(
    name: str, encoders: Sequence[str], *, option: str, others: Collection[str] = ()
) -> list[NamedNetwork]:
    """List what one name stands for: a fixed network, or a family over each encoder.

    A pair that is published is the published network, by its own name.

    Args:
        name: A fixed network's or a family's.
        encoders: Encoders that a family is built over.
        option: The option that the name follows, for messages.
        others: Names of other kinds that the option takes, for the message on an unknown one.

    Raises:
        UsageError: If the name is unknown, or it is a family's and there is no encoder.
    """
    if name in NETWORKS:
        return [NamedNetwork(name)]
    if name not in FAMILIES:
        raise _unknown(name, option=option, others=others)
    if not encoders:
        published = [each for each in NETWORKS if each.startswith(f"{name}_")]
        raise UsageError(
            f"{option} {name}: this is a family of networks; name its encoder as well, for "
            f"example {option} {name} --encoder resnet18 ({', '.join(sorted(ENCODERS))}), or "
            f"take a published one: {', '.join(published)}."
        )
    pairs = [NamedNetwork(name, encoder) for encoder in encoders]
    return [NamedNetwork(pair.label) if pair.label in NETWORKS else pair for pair in pairs]


def require_family(names: Sequence[str], encoders: Sequence[str], *, option: str) -> None:
    """Refuse encoders that are unknown, or that no network among the names takes.

    Raises:
        UsageError: If that is so.
    """
    for encoder in encoders:
        if encoder not in ENCODERS:
            raise unknown_name("encoder", encoder, ENCODERS)
    if not encoders or any(name in FAMILIES for name in names):
        return
    families = ", ".join(FAMILIES)
    if not names:
        raise UsageError(
            f"--encoder {encoders[0]} is for a family of networks; name one with {option} "
            f"({families})."
        )
    near = [family for family in FAMILIES if names[0].startswith(f"{family}_")]
    hint = f"; did you mean {option} {near[0]} --encoder {encoders[0]}?" if near else "."
    raise UsageError(
        f"--encoder {encoders[0]}: {names[0]} has an encoder of its own{hint} Families that take "
        f"one: {families}."
    )


def pairs_over(encoder: str) -> list[NamedNetwork]:
    """List the families over an encoder, without the pairs that `NETWORKS` has."""
    pairs = [NamedNetwork(family, encoder) for family in FAMILIES]
    return [pair for pair in pairs if pair.label not in NETWORKS]


def _unknown(name: str, *, option: str, others: Collection[str]) -> UsageError:
    """Build the error for a name that is none, which may be a family and an encoder in one word."""
    for family in FAMILIES:
        encoder = name.removeprefix(f"{family}_")
        if encoder in ENCODERS:
            return UsageError(
                f"unknown network {name!r}; did you mean {option} {family} --encoder {encoder}?"
            )
    return unknown_name("network", name, [*NETWORKS, *FAMILIES, *others])
