"""What a GPU is asked, in the order of what is worth most if time runs out."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

PRECISIONS = ("fp32", "tf32", "bf16")
NETWORKS = (
    *("deeplabv3plus_resnet101", "duc_hdc_resnet101", "icnet_resnet50", "fc_densenet67", "unet"),
)
"""Fixed networks that a searched one is trained beside."""
RECIPES = {
    "plain": (),
    "label-smoothing": ("--label-smoothing", "0.1"),
    "ema": ("--ema-decay", "0.999"),
    "ohem": ("--loss", "ohem"),
    "class-weights": ("--class-weights", "median_frequency"),
    "warm-up": ("--warmup-steps", "200"),
    "adamw": ("--optimizer", "adamw", "--learning-rate", "0.001"),
    "colour-jitter": ("--colour-jitter", "0.5"),
    "cutmix": ("--cutmix", "0.5"),
}
"""Switches of the recipe, one at a time, on one network."""
_NUM_RANDOM = 2
"""Architectures that are drawn, beside the searched one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """A command that one call begins and the same or a later one ends."""

    name: str
    arguments: tuple[str, ...]
    """What Python is told."""
    smaller: tuple[str, ...] = ()
    """Options that make a rehearsal of it, behind all others: the last of two is taken."""
    run: Path | None = None
    """Run folder; where it is there, the command goes on with --resume."""

    def command(self, *, is_rehearsal: bool) -> tuple[str, ...]:
        """Return what Python is told now."""
        resume = ("--resume",) if self.run is not None and self.run.exists() else ()
        return (*self.arguments, *(self.smaller if is_rehearsal else ()), *resume)


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Where steps write, and what they train."""

    out: Path
    """Tables."""
    runs: Path
    """Run folders."""
    data_root: Path | None
    """CamVid's folder; None leaves out what needs it."""
    device: str
    search_budget: str
    """Time of the search, which is then decoded and retrained."""
    num_steps: int
    """Steps of each retraining, of 8 images."""
    seeds: tuple[int, ...]
    networks: tuple[str, ...] = NETWORKS
    """Fixed networks that are trained beside the searched one."""


def all_steps(places: Places) -> Iterator[Step]:
    """Give every step: tests, times, then CamVid from the search to the table."""
    yield Step(
        name="tests",
        arguments=("-m", "pytest", "-m", "gpu", "-q", "-p", "no:cacheprovider"),
        smaller=("--collect-only",),
    )
    yield from _search_steps(places)
    yield _timing(
        places,
        "crf",
        *("--measure", "time", "memory", "--cases", "camvid", "city", "--iterations", "5"),
        smaller=(
            *("--cases", "small", "--parameters", "readme", "--measure", "time", "--repeats", "1"),
            *("--methods", "fast-fused", "--threads", "1"),
        ),
    )
    yield _timing(
        places,
        "training_rate",
        *("--precision", *PRECISIONS),
        smaller=(
            *("--networks", "icnet_resnet50", "--precision", "fp32", "--forms", "eager"),
            *("--width", "0.125", "--crop-size", "64", "64", "--batch-size", "2", "--steps", "1"),
            *("--rounds", "1", "--num-workers", "1"),
        ),
    )
    if places.data_root is not None:
        yield from _camvid_steps(places)
        yield from _recipe_steps(places)


def _timing(
    places: Places, name: str, *options: str, smaller: tuple[str, ...], folder: str = ""
) -> Step:
    """Make a step of a benchmark that goes on by itself with what its table lacks."""
    out = places.out / (folder or name)
    return Step(
        name=(folder or name).replace("/", " "),
        arguments=(
            f"benchmarks/{name}.py",
            *("--device", places.device, *options, "--out", str(out)),
        ),
        smaller=("--device", "cpu", *smaller),
    )


def _search_steps(places: Places) -> Iterator[Step]:
    """Time a search step at the paper's size, by space, precision and batch, and profile it."""
    small = ("--layers", "2", "--nodes", "2", "--crop", "33", "--repeats", "1")
    plain = ("--variants", "fused", "--precision", "fp32", *small)
    for precision in PRECISIONS:
        for space in ("autodeeplab_depthwise", "autodeeplab"):
            yield _timing(
                places,
                "search_step",
                *("--space", space, "--crop", "321", "--precision", precision),
                *("--variants", "fused-graph", "fused", "--no-interleaved"),
                smaller=plain,
                folder=f"search_step/{space}-{precision}",
            )
    yield _timing(
        places,
        "search_step",
        *("--crop", "321", "--batch-size", "8", "--precision", "auto"),
        *("--variants", "fused-graph"),
        smaller=plain,
        folder="search_step/batch8",
    )
    for space in ("autodeeplab_depthwise", "autodeeplab"):
        yield _timing(
            places,
            "search_step",
            *("--space", space, "--crop", "321", "--profile", "fused"),
            smaller=small,
            folder=f"search_step/profile-{space}",
        )


def _camvid_steps(places: Places) -> Iterator[Step]:
    """Search, retrain beside what one would otherwise use, tune the CRF, compare."""
    data = ("--dataset", "camvid", "--data-root", str(places.data_root))
    search = places.runs / "search"
    small = ("--device", "cpu", "--preset", "tiny", "--image-scale", "0.25", "--val-images", "2")
    yield Step(
        name="camvid search",
        arguments=(
            *("-m", "autoseg.search", *data, "--device", places.device),
            *("--strategy", "darts", "--cuda-graph", "--num-workers", "8"),
            *("--budget", places.search_budget, "--out", str(search)),
        ),
        smaller=(
            *small,
            *("--no-cuda-graph", "--num-workers", "0", "--budget", "1s"),
            *("--batch-size", "2", "--crop-size", "33", "33"),
        ),
        run=search,
    )
    searched = ("--architecture", str(search / "architecture.json"), "--random", str(_NUM_RANDOM))
    contestants = {
        "retrain": (*searched, "--network", *places.networks),
        "published": ("--architecture", "autodeeplab_paper"),
    }
    folders = []
    for name, networks in contestants.items():
        folder = places.runs / name
        folders.append(str(folder))
        yield Step(
            name=f"camvid {name}",
            arguments=(
                *("-m", "autoseg.retrain", *networks, *_training(places, folder)),
                *("--seeds", *map(str, places.seeds)),
            ),
            smaller=(*small, *_FEW_STEPS),
            run=folder,
        )
    found = ("searched", *(f"random-{number + 1}" for number in range(_NUM_RANDOM)))
    trained = [("retrain", name) for name in (*found, *places.networks)]
    runs = [
        places.runs / folder / f"{name}-seed-{seed}"
        for (folder, name), seed in product(
            [*trained, ("published", "autodeeplab_paper")], places.seeds
        )
    ]
    for run in runs:
        yield Step(
            name=f"camvid crf {run.name}",
            arguments=(
                *("-m", "autoseg.tune", "crf", str(run), "--device", places.device),
                *("--data-root", str(places.data_root)),
            ),
            smaller=("--device", "cpu", "--num-trials", "2", "--num-images", "1"),
        )
    table = ("--device", places.device, "--data-root", str(places.data_root))
    one = ("--device", "cpu", "--limit", "1", "--min-runs", "1", "--min-seconds", "0", "--no-crf")
    yield Step(
        name="camvid val",
        arguments=(
            *("-m", "autoseg.compare", *folders, *table, "--out", str(places.out / "camvid/val")),
            *("--backend", "eager", "cuda-graph", "--dtype", "float32", "bfloat16"),
        ),
        smaller=(*one, "--backend", "eager", "--dtype", "float32"),
    )
    # Compiling takes minutes, and a comparison that is stopped begins anew: one network a step.
    for run in runs:
        if run.name.endswith(f"-seed-{places.seeds[0]}"):
            yield Step(
                name=f"camvid compiled {run.name}",
                arguments=(
                    *("-m", "autoseg.compare", str(run), *table, "--no-crf"),
                    *("--backend", "compile", "--dtype", "float32", "bfloat16"),
                    *("--out", str(places.out / "camvid/compiled" / run.name)),
                ),
                smaller=(*one, "--backend", "eager", "--dtype", "float32"),
            )
    yield Step(
        name="camvid test",
        arguments=(
            *("-m", "autoseg.compare", *folders, *table, "--out", str(places.out / "camvid/test")),
            *("--split", "test", "--weights", "last"),
        ),
        smaller=one,
    )


def _recipe_steps(places: Places) -> Iterator[Step]:
    """Train one network with one switch of the recipe at a time."""
    for name, options in RECIPES.items():
        folder = places.runs / f"recipe-{name}"
        yield Step(
            name=f"recipe {name}",
            arguments=(
                *("-m", "autoseg.retrain", "--network", "deeplabv3plus_resnet50"),
                *(*_training(places, folder), *options),
            ),
            smaller=(
                *("--device", "cpu", "--preset", "tiny", "--image-scale", "0.25"),
                *("--val-images", "2", *_FEW_STEPS),
                *(("--warmup-steps", "1") * (name == "warm-up")),
            ),
            run=folder,
        )


_FEW_STEPS = (
    *("--num-steps", "1", "--batch-size", "2", "--crop-size", "64", "64", "--num-workers", "0"),
    *("--resident-gib", "0"),
)


def _training(places: Places, folder: Path) -> tuple[str, ...]:
    """Return what all retrainings share, so that all see the same number of images."""
    return (
        *("--dataset", "camvid", "--data-root", str(places.data_root), "--device", places.device),
        *("--num-steps", str(places.num_steps), "--batch-size", "8", "--crop-size", "360", "480"),
        *("--resident-gib", "2", "--out", str(folder)),
    )
