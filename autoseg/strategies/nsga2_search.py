"""NSGA-II as a strategy: mIoU against multiply-accumulates."""

from functools import cached_property
from typing import ClassVar

from autoseg.architecture import AnyArchitecture
from autoseg.config import SearchConfig
from autoseg.errors import UsageError
from autoseg.proposers import Domain, DomainSampler, NSGA2Sampler, Trial
from autoseg.strategies.costs import AnyPrices, cost_of, counted_for, price_task
from autoseg.strategies.discrete_search import DiscreteSearch, written
from autoseg.strategies.strategy import Report, SearchTask


class NSGA2Search(DiscreteSearch):
    """Breeds architectures that few others beat in both mIoU and MACs: `NSGA2Sampler`.

    The result is the one with the highest mIoU, of equal ones the cheapest. The others that none
    beats in both, the Pareto front, are in the report, for a person to choose from.
    """

    how = "bred by NSGA-II"
    sampler_settings: ClassVar[frozenset[str]] = frozenset({"population_size"})
    cost_names: ClassVar[frozenset[str]] = frozenset({"macs"})

    @classmethod
    def sampler(
        cls, domain: Domain[AnyArchitecture], config: SearchConfig, seed: tuple[int, ...]
    ) -> DomainSampler[AnyArchitecture]:
        """Build what breeds."""
        return NSGA2Sampler(domain, seed=seed, population_size=config.population_size)

    @classmethod
    def settings(cls, config: SearchConfig) -> frozenset[str]:
        """Return those of every discrete search, but not what a pruner reads: none fits."""
        return super().settings(config) - {"min_steps", "reduction_factor"}

    @classmethod
    def check(cls, task: SearchTask) -> None:
        """Refuse a pruner, and a population in which nothing can be crossed, too."""
        super().check(task)
        if task.config.pruner is not None:
            raise UsageError(
                f"pruner = {task.config.pruner}, but nsga2 compares all samples by their scores, "
                "and one that was stopped early has none that compares; leave --pruner out, or use "
                "--strategy random, evolution or tpe."
            )
        if task.config.population_size < 2:
            raise UsageError(
                f"population_size = {task.config.population_size}, but NSGA-II crosses two "
                "architectures; use --population-size 2 or more."
            )

    def costs(self, architecture: AnyArchitecture) -> dict[str, int]:
        """Return its MACs, counted as those that `max_macs` limits."""
        return {"macs": cost_of(self._prices, architecture)}

    @cached_property
    def _prices(self) -> AnyPrices:
        return price_task(self.task)

    def best(self) -> Trial[AnyArchitecture] | None:
        """Return the sample with the highest score, of equal ones the cheapest."""
        front = self.front()
        return front[-1] if front else super().best()

    def front(self) -> list[Trial[AnyArchitecture]]:
        """Return the samples that no other beats in score and MACs, cheapest first.

        Of samples that are equal in both, the first one.
        """
        scored = [trial for trial in self.study.trials if trial.scores is not None]
        front: list[Trial[AnyArchitecture]] = []
        for trial in sorted(scored, key=lambda each: (_macs(each), -_score(each), each.number)):
            if not front or _score(trial) > _score(front[-1]):
                front.append(trial)
        return front

    def report(self) -> Report:
        """Tell the best score, how the others spread, and the front."""
        report, front = super().report(), self.front()
        if not front:
            return report
        name = self.estimator.score_name
        lines = [
            f"- sample {each.number + 1}: {name} {written(_score(each))}, "
            f"{_macs(each) / 1e6:,.1f} M MACs"
            for each in front
        ]
        text = "\n".join(
            [
                report.text,
                f"No other sample beats these in both {name} and MACs "
                f"{counted_for(self.task, self._prices)}; the last is the result, and "
                "metrics.jsonl has the architecture of each:",
                *lines,
            ]
        )
        results = {
            "front": [
                {"sample": trial.number + 1, "score": _score(trial), "macs": int(_macs(trial))}
                for trial in front
            ]
        }
        return Report(text=text, doubts=report.doubts, results=results, failure=report.failure)


def _score(trial: Trial[AnyArchitecture]) -> float:
    assert trial.scores is not None
    return trial.scores[0]


def _macs(trial: Trial[AnyArchitecture]) -> float:
    assert trial.scores is not None
    return trial.scores[1]
