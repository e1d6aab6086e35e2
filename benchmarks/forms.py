"""Time networks in several forms: `python benchmarks/forms.py --help`.

All forms of a network are timed in turn, from image to classes, and each is held against plain
torch. A call that was stopped goes on with the networks that its table lacks.
"""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch
from earlier_calls import calls_so_far
from torch import nn

from autoseg.architecture import Architecture
from autoseg.atomic import atomic_write
from autoseg.cli import OK, read_request, run_command
from autoseg.cli.console import announce
from autoseg.comparison import Subject, untrained_subject
from autoseg.comparison.forms import Formed, bring_into_form
from autoseg.comparison.timing import Stages, memory_of
from autoseg.config import Count, Factor, Range
from autoseg.cost import Latency, count_macs, measure_in_rounds, reference_operation
from autoseg.data import build_dataset
from autoseg.errors import UsageError
from autoseg.export import Form, FormError
from autoseg.reporting.tables import Column, to_markdown
from autoseg.runs import Progress, processor_name
from autoseg.trained import NetworkChoice

PROG = "python benchmarks/forms.py"
CPU = torch.device("cpu")
NUM_CLASSES = 12  # CamVid's and one more, as the embedded dataset has
PEAK_CHANNELS, PEAK_SIZE = 256, (45, 60)  # a 3 x 3 convolution that processors are fast with

FormName = Literal[
    "eager",
    "channels-last",
    "folded",
    "folded channels-last",
    "compile",
    "compile folded",
    "onnxruntime",
    "openvino",
    "bfloat16",
    "folded channels-last bfloat16",
    "compile folded bfloat16",
    "openvino bfloat16",
    "onnxruntime int8",
    "openvino int8",
]
INT8 = {"dtype": "int8", "memory_format": "own", "is_folded": True, "calibration_images": 8}
FORMS: Mapping[str, Form] = {
    "eager": Form(),
    "channels-last": Form(memory_format="channels-last"),
    "folded": Form(is_folded=True),
    "folded channels-last": Form(is_folded=True, memory_format="channels-last"),
    "compile": Form(backend="compile"),
    "compile folded": Form(backend="compile", is_folded=True),
    "onnxruntime": Form(backend="onnxruntime", memory_format="own", is_folded=True),
    "openvino": Form(backend="openvino", memory_format="own", is_folded=True),
    "bfloat16": Form(dtype="bfloat16"),
    "folded channels-last bfloat16": Form(
        is_folded=True, memory_format="channels-last", dtype="bfloat16"
    ),
    "compile folded bfloat16": Form(backend="compile", is_folded=True, dtype="bfloat16"),
    "openvino bfloat16": Form(
        backend="openvino", memory_format="own", is_folded=True, dtype="bfloat16"
    ),
    "onnxruntime int8": Form(backend="onnxruntime", **INT8),
    "openvino int8": Form(backend="openvino", **INT8),
}
AVX2 = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
}
"""What torch, and oneDNN in torch and in OpenVINO, are told before they start."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FormsRequest:
    """What a user can say to `python benchmarks/forms.py`."""

    networks: tuple[str, ...] = (
        *("icnet_resnet50", "autodeeplab_paper", "deeplabv3plus_resnet50", "unet"),
        *("pspnet_resnet50", "duc_hdc_resnet101", "deeplabv3plus_resnet101"),
    )
    """Networks by name, and architectures by name or as a .json file."""
    forms: tuple[FormName, ...] = get_args(FormName)
    """Forms beside eager, which is always timed."""
    size: tuple[Count, ...] = (360, 480)
    """Height and width of the images."""
    width: Factor = 1.0
    """Factor on the networks' channels."""
    threads: Count = 2
    """Threads of torch, ONNX Runtime and OpenVINO."""
    clock: Literal["wall", "processor"] = "wall"
    """wall is what a user waits for. processor is the time that the processor worked, which other
    programs disturb less: for a shared machine, with one thread, since waiting threads spin."""
    instructions: Literal["all", "avx2"] = "all"
    """Instruction sets of the processor. avx2 limits torch and OpenVINO to what older processors
    have; ONNX Runtime knows no such limit, and is refused there."""
    min_runs: Count = 10
    """Runs of each form, at least."""
    min_seconds: Annotated[float, Range(low=0)] = 1.0
    """Seconds of timing of each form, at least."""
    out: Path = Path("results/forms")
    """Folder for forms.md and forms.json."""

    def __post_init__(self) -> None:
        if self.clock == "processor" and self.threads > 1:
            raise UsageError("--clock processor adds up all threads; time one with --threads 1.")
        if self.instructions == "avx2":
            bound = [name for name in self.forms if FORMS[name].backend == "onnxruntime"]
            if bound:
                raise UsageError(
                    f"--instructions avx2: {', '.join(bound)} would use all that the processor "
                    "has; leave it out of --forms."
                )
        if len(self.size) != 2:
            raise UsageError("--size takes a height and a width.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    command = list(sys.argv[1:] if argv is None else argv)
    request = read_request(
        FormsRequest,
        command,
        prog=PROG,
        description="Time networks by plain torch, torch.compile, ONNX Runtime and OpenVINO.",
        example=f"{PROG} --networks icnet_resnet50 --forms onnxruntime openvino",
    )
    for name in request.forms:
        FORMS[name].require(CPU)
    if request.instructions == "avx2" and not AVX2.items() <= os.environ.items():
        # Read when torch is imported, which it is.
        limited = [sys.executable, __file__, *command]
        return subprocess.run(limited, env={**os.environ, **AVX2}, check=False).returncode
    torch.set_num_threads(request.threads)
    request.out.mkdir(parents=True, exist_ok=True)
    path = request.out / "forms.json"
    calls = calls_so_far(path, ["python", "benchmarks/forms.py", *command])
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    measured = {_key(row) for row in rows}
    missing = [name for name in request.networks if (name, *_setting(request)) not in measured]
    with Progress(len(missing), description="forms", unit="network") as progress:
        for name in missing:
            progress.write(name)
            rows += measure(name, request)
            text = json.dumps({"rows": rows, "calls": calls}, indent=1)
            atomic_write(path, f"{text}\n".encode())
            atomic_write(request.out / "forms.md", report(rows).encode())
            progress.update()
    print(report(rows))
    return OK


def _setting(request: FormsRequest) -> tuple[Any, ...]:
    """What rows must agree on to be measured once."""
    processor = processor_name(CPU)
    if request.instructions != "all":
        processor += f", limited to {request.instructions.upper()}"
    return request.width, *request.size, request.threads, request.clock, processor


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    names = ("network", "width", "height", "image_width", "threads", "clock", "processor")
    return tuple(row[name] for name in names)


def measure(name: str, request: FormsRequest) -> list[dict[str, Any]]:
    """Time one network in all forms, in turn."""
    subject = _subject(name, request)
    formed: dict[str, Formed] = {}
    stages: list[Stages] = []
    for each in dict.fromkeys(("eager", *request.forms)):
        try:
            running = bring_into_form(subject, FORMS[each], device=CPU)
            stages.append(Stages(running.running, crf=None, device=CPU, form=FORMS[each]))
        except FormError as error:
            announce(f"{name}: left out: {error}")
        else:
            formed[each] = running
    with torch.inference_mode():
        *times, peak = measure_in_rounds(
            [*(each.alone for each in stages), _convolution()],
            device=CPU,
            reference=reference_operation(CPU),
            min_runs=request.min_runs,
            min_seconds=request.min_seconds,
            clock=time.perf_counter if request.clock == "wall" else time.process_time,
            excused=(FormError,),
        )
        assert isinstance(peak, Latency)  # no form's
        measured: dict[str, tuple[Latency, float | None]] = {}
        for each, stage, latency in zip(formed, stages, times, strict=True):
            try:
                if isinstance(latency, FormError):
                    raise latency
                memory_mib = memory_of(stage.alone, device=CPU, form=FORMS[each])
                measured[each] = latency, memory_mib
            except FormError as error:
                announce(f"{name}: left out: {error}")
    width, height, image_width, threads, clock, processor = _setting(request)
    return [
        {
            "network": name,
            "width": width,
            "height": height,
            "image_width": image_width,
            "threads": threads,
            "clock": clock,
            "processor": processor,
            "macs": count_macs(subject.network, subject.input_size).macs,
            "form": form,
            **formed[form].fields,
            **asdict(latency),
            "memory_mib": memory_mib,
            "peak_gmacs_per_s": 9 * PEAK_CHANNELS**2 * math.prod(PEAK_SIZE) / peak.median_ms / 1e6,
            "speed_up": measured["eager"][0].median_ms / latency.median_ms,
        }
        for form, (latency, memory_mib) in measured.items()
    ]


def _convolution() -> Callable[[], object]:
    """Make what does as many MACs a second as can be had here."""
    layer = nn.Conv2d(PEAK_CHANNELS, PEAK_CHANNELS, 3, padding=1, bias=False)
    maps = torch.rand(1, PEAK_CHANNELS, *PEAK_SIZE).to(memory_format=torch.channels_last)
    return partial(layer.to(memory_format=torch.channels_last), maps)  # pyright: ignore[reportCallIssue]


def _subject(name: str, request: FormsRequest) -> Subject:
    """Build a network with random weights, which decide no time."""
    height, width = request.size
    dataset = build_dataset(
        "synthetic", split="val", image_size=(height, width), num_classes=NUM_CLASSES
    )
    choose = partial(NetworkChoice, label=Path(name).stem, width=request.width)
    if name.endswith(".json") or name == "autodeeplab_paper":
        choice = choose(architecture=Architecture.load(name), filter_multiplier=20)
    else:
        choice = choose(name=name)
    torch.manual_seed(0)
    return untrained_subject(choice, dataset=dataset, image_scale=1.0)


COLUMNS = (
    Column(key="network", heading="Network"),
    Column(key="form", heading="Form"),
    Column(key="median_ms", heading="Image to classes", kind="number", unit="ms"),
    Column(
        key="median_low_ms",
        second_key="median_high_ms",
        heading="95 % interval",
        kind="number",
        unit="ms",
    ),
    Column(key="speed_up", heading="Times as fast as eager", kind="number"),
    Column(key="cold_start_ms", heading="Cold start", kind="number", unit="ms"),
    Column(key="logits_error", heading="Logits differ by", kind="number"),
    Column(key="logits_tolerance", heading="allowed", kind="number"),
    Column(key="equal_labels", heading="Equal labels", kind="percent"),
    Column(key="memory_mib", heading="Peak memory", kind="number", unit="MiB"),
    Column(key="num_runs", heading="Runs", kind="exact"),
    Column(key="remark", heading="Remark"),
)


def report(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a table for each machine and setting, and the best valid form of each network."""
    blocks = ["# Networks in several forms"]
    for setting in dict.fromkeys(_key(row)[1:] for row in rows):
        width, height, image_width, threads, clock, processor = setting
        members = [row for row in rows if _key(row)[1:] == setting]
        blocks.append(
            f"## {height} x {image_width}, {threads} thread(s), {processor}, {clock} time"
            + ("" if width == 1 else f", channels x{width:g}")
        )
        records = [
            {"memory_mib": None, **row, "remark": row["form_fault"] or row["drift"] or ""}
            for row in members  # those of earlier calls may have no memory
        ]
        blocks += [_best(members), to_markdown(records, COLUMNS)]
    return "\n\n".join(blocks) + "\n"


def _best(rows: Sequence[Mapping[str, Any]]) -> str:
    """Say by which form each network is the fastest, of those that are valid and were steady."""
    lines = []
    for network in dict.fromkeys(row["network"] for row in rows):
        members = [row for row in rows if row["network"] == network and not row["form_fault"]]
        eager, best = members[0], max(members, key=lambda row: row["speed_up"])
        rate = eager["macs"] / eager["median_ms"] / 1e6
        peak = eager["peak_gmacs_per_s"]
        unsteady = [row for row in (eager, best) if row["drift"]]
        lines.append(
            f"- {network}: {best['form']}, {best['speed_up']:.2f} times as fast as eager, which "
            f"does {rate:.1f} G MACs a second; at the {peak:.1f} of a convolution alone it would "
            f"be {peak / rate:.2f} times as fast"
            + ("; not to be trusted, the machine's speed changed" if unsteady else "")
        )
    return "\n".join(lines)


if __name__ == "__main__":
    run_command(main)
