"""What is measured: the project's modes and back ends, pydensecrf and ConvCRF.

pydensecrf and ConvCRF are no dependencies. pydensecrf is taken where it is installed, ConvCRF from
a checkout of it, unmodified.
"""

import importlib
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch

from autoseg.crf import CRFConfig
from autoseg.errors import UsageError

from .scenes import Scene

MethodName = Literal[
    "fast-fused",
    "fast-fused-all-pixels",
    "accurate-fused",
    "fast-torch",
    "accurate-torch",
    "local",
    "exact",
    "pydensecrf",
    "convcrf",
]
"""Modes of DenseCRF with their back ends, and the peers."""

OWN_METHODS: tuple[MethodName, ...] = get_args(MethodName)[:7]
PEERS: tuple[MethodName, ...] = get_args(MethodName)[7:]

MAX_EXACT_PIXELS = {"cpu": 40_000, "cuda": 190_000}
"""Beyond, the exact mode is not timed: its time grows with the square of the pixels."""

Marginals = torch.Tensor | np.ndarray
Run = Callable[[], Marginals]
"""Goes from probabilities to marginals (K, H, W), everything included."""


def check_peers(*, use_pydensecrf: bool, convcrf: Path | None) -> None:
    """Refuse a peer that is not there.

    Raises:
        UsageError: With the remedy.
    """
    if use_pydensecrf and find_spec("pydensecrf") is None:
        raise UsageError(
            "--peer: pydensecrf is not installed. Its sdist does not build with Cython 3; with "
            "`pip install 'cython<3' setuptools wheel` in the environment, "
            "`pip install --no-build-isolation` of a checkout of "
            "https://github.com/lucasb-eyer/pydensecrf does. Or leave --peer out."
        )
    if convcrf is not None and not (convcrf / "convcrf" / "convcrf.py").exists():
        raise UsageError(
            f"--convcrf {convcrf}: there is no convcrf/convcrf.py; name a checkout of "
            "https://github.com/MarvinTeichmann/ConvCRF."
        )


def prepare(
    method: MethodName,
    scene: Scene,
    parameters: CRFConfig,
    *,
    device: str,
    convcrf: Path | None,
) -> Run:
    """Bring the inputs into the method's own form, which is not timed.

    The project's methods get logits, the logarithm of the probabilities, and compute a log-softmax
    of them; pydensecrf gets probabilities and computes their logarithm. Peers run on the CPU.
    """
    if method == "pydensecrf":
        return _prepare_pydensecrf(scene, parameters)
    if method == "convcrf":
        assert convcrf is not None
        return _prepare_convcrf(scene, parameters, convcrf)
    mode, backend, *every_pixel = method.split("-", 2) if "-" in method else (method, "auto")
    logits = scene.probabilities.log()[None].to(device)
    images = scene.image[None].to(device)
    settings = replace(parameters, mode=mode, backend=backend)
    if every_pixel:
        settings = replace(settings, subsample_above=None)

    def run() -> Marginals:
        crf = settings.build().to(device)
        with torch.inference_mode():
            return crf(logits, images)[0]

    return run


def failure_of(
    method: MethodName, scene: Scene, *, device: str, convcrf: Path | None
) -> str | None:
    """Try a method on a corner of a scene; return why it cannot run, or None if it can."""
    corner = corner_of(scene)
    try:
        prepare(method, corner, CRFConfig(), device=device, convcrf=convcrf)()
    # Not ours to narrow: whatever a method raises is the answer.
    except Exception as error:
        return describe_failure(error)
    return None


def describe_failure(error: Exception) -> str:
    """Write an exception in one line."""
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no message'])[0]}"


def corner_of(scene: Scene) -> Scene:
    """Cut out a few pixels, enough to load all code that a method needs."""
    return replace(
        scene,
        image=scene.image[:, :16, :20].contiguous(),
        probabilities=scene.probabilities[:, :16, :20].contiguous(),
    )


def _prepare_pydensecrf(scene: Scene, parameters: CRFConfig) -> Run:
    densecrf = importlib.import_module("pydensecrf.densecrf")
    utils = importlib.import_module("pydensecrf.utils")
    probabilities = scene.probabilities.numpy()
    num_classes, height, width = probabilities.shape
    image = np.ascontiguousarray(scene.image.permute(1, 2, 0).numpy())  # (3, H, W) -> (H, W, 3)

    def run() -> Marginals:
        crf = densecrf.DenseCRF2D(width, height, num_classes)
        crf.setUnaryEnergy(utils.unary_from_softmax(probabilities))
        crf.addPairwiseGaussian(sxy=parameters.spatial_xy_std, compat=parameters.spatial_weight)
        crf.addPairwiseBilateral(
            sxy=parameters.bilateral_xy_std,
            srgb=parameters.bilateral_rgb_std,
            rgbim=image,
            compat=parameters.bilateral_weight,
        )
        marginals = np.array(crf.inference(parameters.num_iterations), dtype=np.float32)
        return marginals.reshape(num_classes, height, width)

    return run


def _prepare_convcrf(scene: Scene, parameters: CRFConfig, path: Path) -> Run:
    """Take its default configuration, whatever the parameters: it is another model."""
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    module = importlib.import_module("convcrf.convcrf")
    config = dict(module.default_conf)
    num_classes, height, width = scene.probabilities.shape
    unary = scene.probabilities.log()[None]
    image = scene.image[None].float()

    def run() -> Marginals:
        crf = module.GaussCRF(
            conf=config, shape=(height, width), nclasses=num_classes, use_gpu=False
        )
        with torch.inference_mode():
            scores = crf(unary=unary, img=image, num_iter=parameters.num_iterations)
        return scores[0]

    return run
