"""How far each method is from the CRF without approximation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from .methods import Marginals, MethodName, prepare
from .scenes import Scene
from .setting import PARAMETER_SETS, AccuracyRow

NUM_ITERATIONS = 5

_ALL = "all"
_DISTRIBUTION_TOLERANCE = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class _Distance:
    errors: NDArray[np.float32] | None
    is_other: NDArray[np.bool_]

    def row(self, parameters: str, image: str, method: str) -> AccuracyRow:
        return AccuracyRow(
            parameters=parameters,
            image=image,
            method=method,
            mean_error=None if self.errors is None else float(self.errors.mean(dtype=np.float64)),
            p999_error=None if self.errors is None else float(np.quantile(self.errors, 0.999)),
            argmax_share=float(self.is_other.mean()),
        )


def measure_accuracy(
    scenes: Sequence[Scene],
    methods: Sequence[MethodName],
    *,
    device: str,
    convcrf: Path | None,
    on_run: Callable[[str], None],
) -> list[AccuracyRow]:
    """Compare methods with the exact mode on each image and parameter set.

    Args:
        scenes: The images.
        methods: What is compared; "exact" itself is passed over.
        device: Device of the project's methods.
        convcrf: Checkout of ConvCRF.
        on_run: Is told the method before each run.

    Returns:
        For each parameter set the rows of each image, then the pooled ones, over all pixels of all
        images. Ratios to pydensecrf are there if it is among the methods.

    Raises:
        ValueError: If a method fails.
    """
    rows: list[AccuracyRow] = []
    compared: list[MethodName] = [method for method in methods if method != "exact"]
    for name, values in PARAMETER_SETS.items():
        parameters = replace(values, num_iterations=NUM_ITERATIONS)
        distances: dict[MethodName, list[_Distance]] = {method: [] for method in compared}
        changed: list[NDArray[np.bool_]] = []
        for scene in scenes:
            on_run("exact")
            exact = _array(prepare("exact", scene, parameters, device=device, convcrf=None)())
            changed.append(exact.argmax(axis=0) != scene.probabilities.argmax(dim=0).numpy())
            for method in compared:
                on_run(method)
                run = prepare(method, scene, parameters, device=device, convcrf=convcrf)
                distances[method].append(_distance(_array(run()), exact))
        by_image = [
            [distances[method][place].row(name, scene.name, method) for method in compared]
            for place, scene in enumerate(scenes)
        ]
        for image_rows, is_changed in zip(by_image, changed, strict=True):
            rows += _with_ratios(image_rows, changed_share=float(is_changed.mean()))
        pooled = [_pool(distances[method]).row(name, _ALL, method) for method in compared]
        total = float(np.mean([each.mean() for each in changed]))
        pooled = _with_ratios(pooled, changed_share=total)
        own_rows = [row for row in rows if row.parameters == name]
        rows += [replace(row, worst_mean_ratio=_worst(own_rows, row.method)) for row in pooled]
    return rows


def pooled_rows(rows: Sequence[AccuracyRow]) -> list[AccuracyRow]:
    """Return the rows over all images."""
    return [row for row in rows if row.image == _ALL]


def _array(marginals: Marginals) -> NDArray[np.float32]:
    if isinstance(marginals, torch.Tensor):
        return marginals.float().cpu().numpy()
    return marginals


def _distance(found: NDArray[np.float32], exact: NDArray[np.float32]) -> _Distance:
    is_distribution = np.abs(found.sum(axis=0) - 1).max() < _DISTRIBUTION_TOLERANCE
    return _Distance(
        errors=np.abs(found - exact) if is_distribution else None,
        is_other=found.argmax(axis=0) != exact.argmax(axis=0),
    )


def _pool(distances: Sequence[_Distance]) -> _Distance:
    errors = [each.errors.ravel() for each in distances if each.errors is not None]
    return _Distance(
        errors=np.concatenate(errors) if len(errors) == len(distances) else None,
        is_other=np.concatenate([each.is_other.ravel() for each in distances]),
    )


def _with_ratios(rows: Sequence[AccuracyRow], *, changed_share: float) -> list[AccuracyRow]:
    peer = next((row for row in rows if row.method == "pydensecrf"), None)
    done = []
    for row in rows:
        mean_ratio = argmax_ratio = None
        if peer is not None and peer.mean_error and row.mean_error is not None:
            mean_ratio = row.mean_error / peer.mean_error
        if peer is not None and peer.argmax_share:
            argmax_ratio = row.argmax_share / peer.argmax_share
        done.append(
            replace(
                row, mean_ratio=mean_ratio, argmax_ratio=argmax_ratio, changed_share=changed_share
            )
        )
    return done


def _worst(rows: Sequence[AccuracyRow], method: str) -> float | None:
    ratios = [r.mean_ratio for r in rows if r.method == method and r.mean_ratio is not None]
    return max(ratios, default=None)
