"""How long the networks of a comparison take, stage by stage, how much memory and energy."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoseg.comparison.subject import Subject
from autoseg.cost import (
    Latency,
    energy_meter,
    has_own_memory,
    measure_energy,
    measure_in_rounds,
    measure_peak_memory,
    measure_resident_peak,
    reference_operation,
    synchronised_clock,
)
from autoseg.crf import DenseCRF
from autoseg.data import as_rgb, normalise
from autoseg.evaluation import best_class, predict_logits
from autoseg.export import PLAIN, Form, FormError, forget_recordings, forming

MAX_DIFFERENCE = 0.001
"""Share of pixels that may get another class in another run: a GPU adds up in no fixed order."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TimingConfig:
    """What is timed, how long each timing lasts, and how steady the machine must be."""

    min_runs: int
    """Runs behind the percentiles, at least."""
    min_seconds: float
    """Seconds of timing, at least."""
    max_warm_up_seconds: float = 5.0
    """Bound on each warm-up; times that had not settled by then are marked."""
    batch_size: int = 1
    """Images a call."""
    image_size: tuple[int, int] | None = None
    """Height and width of the images; None: the size of those that are scored."""
    has_offline: bool = False
    """Whether the largest batch that fits is timed as well."""
    max_drift: float = 0.1
    """Share of its usual time by which a fixed operation may differ around the runs that count."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Costs:
    """Times and memory of a call, with as many images as were asked for; energy of one image."""

    upload: Latency | None
    """From the host's memory to the device; None on a CPU, where there is no such way."""
    forward: Latency
    """The network itself, from the images it sees to its logits."""
    finish: Latency
    """All else without a CRF: resizing the image and the logits, and argmax."""
    network: Latency
    """Both, timed together."""
    total: Latency
    """From images in the host's memory to classes without the CRF; on a CPU, `network`."""
    crf: Latency | None
    """The CRF alone, argmax included."""
    together: Latency | None
    """From images in the host's memory to classes with the CRF."""
    memory_mib: float | None
    """Peak beyond weights and image, without the CRF; None where it cannot be measured."""
    memory_together_mib: float | None
    """Peak with the CRF; the same if there is none."""
    energy_j: float | None
    """Energy that the GPU took for an image without the CRF; None where nothing counts it."""
    energy_together_j: float | None
    """Energy with the CRF; the same if there is none."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Say which times had not settled, or were taken while the machine changed."""
        timed = {"network": self.network, "CRF": self.crf, "network and CRF": self.together}
        if self.upload is not None:
            timed |= {"the copy to the device": self.upload, "copy and network": self.total}
        unstable = [name for name, time in timed.items() if time and not time.is_stable]
        notes = [f"time of {name}: {time.drift}." for name, time in timed.items()
                 if time and time.drift]  # fmt: skip
        if unstable:
            notes.append(
                f"the times of {', '.join(unstable)} did not settle during the warm-up; another "
                "program may have kept the machine busy."
            )
        return tuple(notes)


class Stages:
    """What is timed of one network: the same calls that score it, whole and in parts."""

    def __init__(
        self,
        subject: Subject,
        *,
        crf: DenseCRF | None,
        device: torch.device,
        form: Form = PLAIN,
        batch_size: int = 1,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        """Prepare the first image of the subject's dataset.

        Args:
            subject: The network, on the device.
            crf: The CRF, on the device; None if there is none.
            device: Where the work is done.
            form: What runs the network.
            batch_size: How many times a call is given the image.
            image_size: Height and width that the image is resized to; None keeps its own.
        """
        self.form, self.batch_size = form, batch_size
        self._network, self._crf = subject.network, crf
        self._scales = (subject.image_scale,)
        self._normalisation = subject.dataset.normalisation
        self._first = subject.dataset[0].image
        pixels = self._pixels(image_size, device)
        self._images = normalise(pixels, self._normalisation)
        self._colours = as_rgb(pixels)
        self._device, self._has_upload = device, has_own_memory(device)
        self._in_host = (self._images.cpu(), self._colours.cpu())
        with torch.inference_mode():
            self._replay = _Recorded(self._network)
            fixed = predict_logits(self._replay, self._images, scales=self._scales)
        self._fixed = None if crf is None else fixed  # as many numbers as K images have pixels

    def __getstate__(self) -> dict[str, Any]:
        """Take what whole predictions need into another process, and no results of this one."""
        return {
            name: value for name, value in vars(self).items() if name not in ("_replay", "_fixed")
        }

    def from_scratch(self, function: Callable[[], object]) -> Callable[[], object]:
        """Let a call record its CUDA graph anew, whose maps are then made while it runs."""
        if self.form.backend != "cuda-graph":
            return function

        def call() -> object:
            forget_recordings(self._network)
            return function()

        return call

    def repeated(self, num_images: int) -> "Stages":
        """Take the image so many times in each call; whole predictions alone can be timed then."""
        forget_recordings(self._network)  # of other batches: they would take the room of this one
        batch = copy.copy(self)
        batch.batch_size = num_images
        batch._images = self._images[:1].repeat(num_images, 1, 1, 1)
        batch._colours = self._colours[:1].repeat(num_images, 1, 1, 1)
        batch._in_host = (batch._images.cpu(), batch._colours.cpu())
        return batch

    def _pixels(self, image_size: tuple[int, int] | None, device: torch.device) -> Tensor:
        """Repeat the first image, uint8, (batch_size, C, H, W), resized where that is asked for."""
        pixels = self._first.unsqueeze(0)
        if image_size is not None and image_size != tuple(pixels.shape[2:]):
            resized = F.interpolate(
                pixels.float(), image_size, mode="bilinear", align_corners=False, antialias=True
            )
            pixels = resized.round().to(torch.uint8)
        return pixels.to(device).repeat(self.batch_size, 1, 1, 1)

    @property
    def functions(self) -> dict[str, Callable[[], Tensor]]:
        """What is timed, by the name in `Costs` that its time gets."""
        stages = {"forward": self.forward, "finish": self.finish, "network": self.alone}
        if self._has_upload:
            stages |= {"upload": self.upload, "total": self.total}
        if self._crf is not None:
            stages |= {"crf": self.crf, "together": self.together}
        return stages

    def upload(self) -> Tensor:
        """Copy the normalised images from the host's memory to the device."""
        return self._in_host[0].to(self._device, copy=True)

    def forward(self) -> Tensor:
        """Run the network alone."""
        return self._network(self._replay.seen)

    def finish(self) -> Tensor:
        """Do what is done beside the network, with the logits that it gave before."""
        logits = predict_logits(self._replay, self._images, scales=self._scales)
        return best_class(logits)

    def alone(self) -> Tensor:
        """Go from image to classes without the CRF."""
        return best_class(self._logits(self._images))

    def total(self) -> Tensor:
        """Go from images in the host's memory to classes without the CRF."""
        return best_class(self._logits(self.upload()))

    def crf(self) -> Tensor:
        """Run the CRF alone, on logits at the label's size."""
        assert self._crf is not None and self._fixed is not None
        return best_class(self._crf(self._fixed, self._colours))

    def refined(self) -> Tensor:
        """Go from image to classes with the CRF."""
        assert self._crf is not None
        return best_class(self._crf(self._logits(self._images), self._colours))

    def together(self) -> Tensor:
        """Go from images in the host's memory to classes with the CRF, which sees the pixels."""
        if not self._has_upload:
            return self.refined()
        assert self._crf is not None
        colours = self._in_host[1].to(self._device, copy=True)
        return best_class(self._crf(self._logits(self.upload()), colours))

    def _logits(self, images: Tensor) -> Tensor:
        return predict_logits(self._network, images, scales=self._scales)

    def require_scored(self, scored: Tensor) -> None:
        """Refuse to time what is not what was scored: as many images at their own size.

        Args:
            scored: Predicted classes of the same image when it was scored, (H, W).

        Raises:
            RuntimeError: If the timed calls give other classes.
        """
        with torch.inference_mode():
            images = normalise(self._pixels(None, self._device), self._normalisation)
            timed = best_class(self._logits(images)).cpu()
        share = float((timed != scored).float().mean())
        if share > MAX_DIFFERENCE:
            raise RuntimeError(
                f"{type(self._network).__name__}: what is timed is not what was scored: "
                f"{share:.1%} of the pixels of one image have another class. The network gives "
                "another result for the same image; put it into eval mode, and draw nothing at "
                "random in it."
            )


class _Recorded(nn.Module):
    """A network whose first result is kept, and given again without running it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self._network = [network]  # in a list: not a part of this module
        self.seen: Tensor
        self._result: Tensor | None = None
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Return the result of the first call."""
        result = self._result
        if result is None:
            result = self._network[0](images)
            self.seen, self._result = images, result
        return result


def time_networks(
    stages: Sequence[Stages],
    *,
    device: torch.device,
    timing: TimingConfig,
    on_timing: Callable[[int, int], None] = lambda *_: None,
) -> list[Costs | FormError]:
    """Time all stages of all networks in turn, and measure their memory and energy.

    Args:
        stages: What is timed of each network.
        device: Where the work is done.
        timing: How long each timing lasts.
        on_timing: Called with the number of timings that are done and how many there are in all;
            see `measure_in_rounds`.

    Returns:
        For each network what it costs; for one that fails in its form meanwhile, that error.
    """
    functions = [function for each in stages for function in each.functions.values()]
    with torch.inference_mode():
        times = iter(
            measure_in_rounds(
                functions,
                device=device,
                reference=reference_operation(device),
                min_runs=timing.min_runs,
                min_seconds=timing.min_seconds,
                max_drift=timing.max_drift,
                max_warm_up_seconds=timing.max_warm_up_seconds,
                excused=(FormError,),
                on_timing=on_timing,
            )
        )
        return [
            _costs_of(each, {name: next(times) for name in each.functions}, device)
            for each in stages
        ]


def _costs_of(
    stages: Stages, times: Mapping[str, Latency | FormError], device: torch.device
) -> Costs | FormError:
    lasting = {name: time for name, time in times.items() if isinstance(time, Latency)}
    if len(lasting) < len(times):
        return next(time for time in times.values() if isinstance(time, FormError))
    try:
        return _costs(stages, lasting, device)
    except FormError as error:  # over the memory or the energy
        return error


def _costs(stages: Stages, times: Mapping[str, Latency], device: torch.device) -> Costs:
    # From images on the device: a copy of them is no part of the peak.
    memory_mib, energy_j = _memory_and_energy(stages, stages.alone, device)
    memory_together_mib, energy_together_j = (
        _memory_and_energy(stages, stages.refined, device)
        if "crf" in times
        else (memory_mib, energy_j)
    )
    return Costs(
        upload=times.get("upload"),
        forward=times["forward"],
        finish=times["finish"],
        network=times["network"],
        total=times.get("total", times["network"]),
        crf=times.get("crf"),
        together=times.get("together"),
        memory_mib=memory_mib,
        memory_together_mib=memory_together_mib,
        energy_j=energy_j,
        energy_together_j=energy_together_j,
    )


def _memory_and_energy(
    stages: Stages, function: Callable[[], object], device: torch.device
) -> tuple[float | None, float | None]:
    """Measure a stage's memory, and its energy an image; what nothing counts is None."""
    memory_mib = memory_of(stages.from_scratch(function), device=device, form=stages.form)
    meter = energy_meter(device)
    if meter is None:
        return memory_mib, None
    energy_j = measure_energy(function, meter=meter, clock=synchronised_clock(device))
    return memory_mib, energy_j / stages.batch_size


def memory_of(function: Callable[[], object], *, device: torch.device, form: Form) -> float | None:
    """Measure the peak of the memory of a stage: by torch's allocator, or of a new process.

    Args:
        function: A stage that goes from image to classes.
        device: Where the work is done.
        form: What runs its network.

    Returns:
        MiB; None where the system does not tell the memory of a process.

    Raises:
        FormError: If the network fails in its form.
    """
    if form.has_torchs_memory:
        return measure_peak_memory(function, device=device)
    with forming(form):
        return measure_resident_peak(function)
