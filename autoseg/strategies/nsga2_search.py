"""NSGA-II as a strategy: mIoU against multiply-accumulates, or against predicted latency."""

from functools import cached_property
from typing import ClassVar

from autoseg.architecture import AnyArchitecture
from autoseg.config import SearchConfig
from autoseg.errors import UsageError
from autoseg.proposers import Domain, DomainSampler, NSGA2Sampler, Trial
from autoseg.strategies.costs import (
    AnyPrices,
    cost_of,
    counted_for,
    price_latency,
    price_task,
)
from autoseg.strategies.discrete_search import DiscreteSearch, written
from autoseg.strategies.strategy import Report, SearchTask


class NSGA2Search(DiscreteSearch):
    """Breeds architectures that few others beat in both mIoU and cost: `NSGA2Sampler`.

    The cost is `front_cost`: MACs, or latency as the task's table predicts it. The result is the
    one with the highest mIoU, of equal ones the cheapest. The others that none beats in both, the
    Pareto front, are in the report, for a person to choose from.
    """

    how = "bred by NSGA-II"
    sampler_settings: ClassVar[frozenset[str]] = frozenset({"population_size", "front_cost"})

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
        """Refuse a pruner, a population in which nothing can be crossed, and latency without a
        table, too."""
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
        if task.config.front_cost == "latency":
            price_latency(task)

    @property
    def cost_names(self) -> frozenset[str]:
        """Name the cost."""
        return frozenset({self._cost_name})

    def costs(self, architecture: AnyArchitecture) -> dict[str, float]:
        """Return its MACs or its latency in milliseconds, which a limit is compared with too."""
        cost = cost_of(self._prices, architecture)
        return {self._cost_name: cost / 1e6 if self._is_latency else cost}

    @property
    def _is_latency(self) -> bool:
        return self.task.config.front_cost == "latency"

    @property
    def _cost_name(self) -> str:
        return "latency_ms" if self._is_latency else "macs"

    @cached_property
    def _prices(self) -> AnyPrices:
        return price_latency(self.task) if self._is_latency else price_task(self.task)

    def best(self) -> Trial[AnyArchitecture] | None:
        """Return the sample with the highest score, of equal ones the cheapest."""
        front = self.front()
        return front[-1] if front else super().best()

    def front(self) -> list[Trial[AnyArchitecture]]:
        """Return the samples that no other beats in score and cost, cheapest first.

        Of samples that are equal in both, the first one.
        """
        scored = [trial for trial in self.study.trials if trial.scores is not None]
        front: list[Trial[AnyArchitecture]] = []
        for trial in sorted(scored, key=lambda each: (_cost(each), -_score(each), each.number)):
            if not front or _score(trial) > _score(front[-1]):
                front.append(trial)
        return front

    def report(self) -> Report:
        """Tell the best score, how the others spread, and the front."""
        report, front = super().report(), self.front()
        if not front:
            return report
        name = self.estimator.score_name
        what = "latency by the table" if self._is_latency else "MACs"
        lines = [
            f"- sample {each.number + 1}: {name} {written(_score(each))}, {self._written(each)}"
            for each in front
        ]
        text = "\n".join(
            [
                report.text,
                f"No other sample beats these in both {name} and {what} "
                f"{counted_for(self.task, self._prices)}; the last is the result, and "
                "metrics.jsonl has the architecture of each:",
                *lines,
            ]
        )
        results = {
            "front": [
                {
                    "sample": trial.number + 1,
                    "score": _score(trial),
                    self._cost_name: _cost(trial) if self._is_latency else int(_cost(trial)),
                }
                for trial in front
            ]
        }
        return Report(text=text, doubts=report.doubts, results=results, failure=report.failure)

    def _written(self, trial: Trial[AnyArchitecture]) -> str:
        cost = _cost(trial)
        return f"{cost:,.2f} ms" if self._is_latency else f"{cost / 1e6:,.1f} M MACs"


def _score(trial: Trial[AnyArchitecture]) -> float:
    assert trial.scores is not None
    return trial.scores[0]


def _cost(trial: Trial[AnyArchitecture]) -> float:
    assert trial.scores is not None
    return trial.scores[1]
