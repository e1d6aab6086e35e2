"""Like with like: trainings of one network in a row, and rows that may be compared in a table."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from autoseg.comparison.group_key import GroupKey
from autoseg.comparison.rows import ComparisonGroup, NetworkComparison
from autoseg.comparison.seeds import join_seeds


def group_networks(networks: Sequence[NetworkComparison]) -> list[ComparisonGroup]:
    """Put networks into groups of like with like, and join trainings that differ by seed alone.

    A group's machine is that of most of its networks, of several the first. What was measured on
    another one keeps its scores and counts there, and is marked: its times compare with no others.
    Labels that occur more than once in a group are told apart by seed, run folder or number.

    Args:
        networks: What was measured.

    Returns:
        The groups, the one with the most networks first, then in the order of the arguments.
    """
    by_key: defaultdict[GroupKey, list[NetworkComparison]] = defaultdict(list)
    for network in networks:
        by_key[network.rows[0].key].append(network)
    groups = [
        ComparisonGroup(key=key, networks=tuple(_sorted(members)))
        for key, members in by_key.items()
    ]
    return sorted(groups, key=lambda group: -len(group.networks))


def _sorted(networks: Sequence[NetworkComparison]) -> list[NetworkComparison]:
    return sorted(_distinguish(_by_machine(join_seeds(networks))), key=_rank)


def _by_machine(networks: Sequence[NetworkComparison]) -> list[NetworkComparison]:
    """Mark what was measured on another machine than most."""
    machines = Counter(network.rows[0].machine for network in networks)
    most = max(machines, key=lambda machine: machines[machine])
    return [
        replace(
            network,
            rows=tuple(
                replace(row, measured_elsewhere=row.machine != most) for row in network.rows
            ),
        )
        for network in networks
    ]


def _rank(network: NetworkComparison) -> tuple[bool, float, int]:
    row = network.rows[0]
    return row.miou is None, -(row.miou or 0.0), row.macs


def _distinguish(networks: Sequence[NetworkComparison]) -> list[NetworkComparison]:
    """Give every network of a group its own label."""
    labels = [network.rows[0].label for network in networks]
    # The most telling word that makes every label its own.
    for suffix in ("seed", "run", "number"):
        candidates = []
        for number, network in enumerate(networks, start=1):
            row = network.rows[0]
            words = {
                "seed": f"seed {row.seed}",
                "run": row.run or "no run",
                "number": f"row {number}",
            }
            is_repeated = labels.count(row.label) > 1
            candidates.append(f"{row.label} ({words[suffix]})" if is_repeated else row.label)
        if max(Counter(candidates).values()) == 1:
            break
    return [
        replace(network, rows=tuple(replace(row, label=label) for row in network.rows))
        for network, label in zip(networks, candidates, strict=True)
    ]
