"""Why three counters disagree on one network: their rules, applied to one recorded pass.

The canonical count knows convolutions, linear layers and matrix products. fvcore and thop count
those too, with exceptions, and other things besides. Each rule below prices one call as the tool
does; what it adds to or takes from the canonical count is summed up under a reason. The tables
hold for fvcore 0.1.5 and thop 0.1.1.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from torch import nn

from autoseg.cost.formulas import flop_formulas
from autoseg.cost.macs import MacCount, summarise
from autoseg.cost.recording import ModuleCall, OperatorCall, Recording, record_forward


@dataclass(frozen=True, kw_only=True, slots=True)
class MacTerm:
    """One reason for a difference."""

    reason: str
    """What the tool counts otherwise."""

    macs: int
    """What this adds to the tool's total; negative for what it leaves out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MacPrediction:
    """What a tool must say, if its rules are understood."""

    tool: str
    """Name of the tool: "torch", "fvcore" or "thop"."""

    canonical: int
    """The canonical MACs that the terms are added to."""

    terms: tuple[MacTerm, ...]
    """Every difference that is not 0, the largest first."""

    unmodelled: tuple[str, ...]
    """Operators or modules that occur and whose price by this tool is not written down here; the
    prediction takes them at their canonical cost, so it may be wrong if there are any."""

    @property
    def macs(self) -> int:
        """The predicted total, in the tool's own convention."""
        return self.canonical + sum(term.macs for term in self.terms)


@dataclass(frozen=True, kw_only=True, slots=True)
class MacExplanation:
    """The canonical count, and what the other tools make of the same pass."""

    canonical: MacCount
    """The canonical count, which is the one that tables print."""

    torch: MacPrediction
    """What `count_macs_torch` must return on a CPU, if torch's rules are understood."""

    fvcore: MacPrediction
    """What `count_macs_fvcore` must return, if fvcore's rules are understood."""

    thop: MacPrediction
    """What `count_macs_thop` must return, if thop's rules are understood."""


def explain_macs(
    network: nn.Module,
    image_size: tuple[int, int],
    *,
    batch_size: int = 1,
    device: str = "meta",
) -> MacExplanation:
    """Predict the totals of torch, fvcore and thop from one pass, with reasons where they differ.

    Args:
        network: Maps images (N, 3, H, W) to logits; recorded on a copy in eval mode.
        image_size: Height and width in pixels.
        batch_size: N.
        device: Where the pass runs, as for `count_macs`.

    Returns:
        Our count and the three predictions, exact to the unit where nothing is `unmodelled`. fvcore
        drops operators whose results the network does not return; this is not predicted.

    Raises:
        ValueError: If the size holds no pixel.
        RuntimeError: If the network does not run on the device.

    Source: `fvcore.nn.jit_handles` and `thop.vision`, read and compared call by call.
    """
    recording = record_forward(network, image_size, batch_size=batch_size, device=device)
    return MacExplanation(
        canonical=summarise(recording, image_size=image_size, batch_size=batch_size),
        torch=_predict_torch(recording),
        fvcore=_predict_fvcore(recording),
        thop=_predict_thop(recording),
    )


class _Ledger:
    """Collects differences by reason."""

    def __init__(self) -> None:
        self._differences: defaultdict[str, int] = defaultdict(int)
        self._unmodelled: set[str] = set()

    def add(self, reason: str, macs: int) -> None:
        self._differences[reason] += macs

    def add_unmodelled(self, name: str) -> None:
        self._unmodelled.add(name)

    def close(self, tool: str, canonical: int) -> MacPrediction:
        terms = [MacTerm(reason=r, macs=macs) for r, macs in self._differences.items() if macs]
        return MacPrediction(
            tool=tool,
            canonical=canonical,
            terms=tuple(sorted(terms, key=lambda term: (-abs(term.macs), term.reason))),
            unmodelled=tuple(sorted(self._unmodelled)),
        )


# torch: the canonical count is torch's own, and formulas for fused operators that it passes over.


def _predict_torch(recording: Recording) -> MacPrediction:
    ledger = _Ledger()
    fused = {str(operator) for operator in flop_formulas()}
    for call in recording.operators:
        if call.name in fused:
            ledger.add("fused operators, which it passes over", -call.macs)
    return ledger.close("torch", recording.macs)


# fvcore: one rule an operator of the traced graph. A rule gives the price of a call.

_FvcoreRule = tuple[str, Callable[[OperatorCall], int]]


def _fvcore_norm(affine_argument: int) -> Callable[[OperatorCall], int]:
    """Price a normalisation that works out its statistics: 5 an element, 4 without scale."""

    def price(call: OperatorCall) -> int:
        # Trailing arguments that have their default value are not recorded.
        arguments = call.arguments[affine_argument:]
        has_scale = bool(arguments) and arguments[0] is not None
        return prod(call.input_shape) * (5 if has_scale else 4)

    return price


def _fvcore_batch_norm(call: OperatorCall) -> int:
    uses_batch_statistics = call.arguments[5]
    if uses_batch_statistics:
        return _fvcore_norm(1)(call)
    has_scale = call.arguments[1] is not None
    return prod(call.input_shape) * (2 if has_scale else 1)


def _fvcore_matmul(call: OperatorCall) -> int:
    left, right = call.arguments[:2]
    return prod(left) * right[-1]


def _per_output(factor: int) -> Callable[[OperatorCall], int]:
    return lambda call: factor * prod(call.output_shape)


_FVCORE_CANONICAL = {
    *(f"aten.conv{n}d" for n in (1, 2, 3)),
    *(f"aten.conv_transpose{n}d" for n in (1, 2, 3)),
    *("aten.convolution", "aten._convolution"),
    *("aten.linear", "aten.addmm", "aten.mm", "aten.bmm"),
}
"""Operators that fvcore prices as the canonical count does."""

_FVCORE_RULES: dict[str, _FvcoreRule] = {
    "aten.matmul": ("matmul: the left operand is taken as not broadcast", _fvcore_matmul),
    "aten.batch_norm": ("batch norm: 2 an element (1 without scale)", _fvcore_batch_norm),
    "aten.group_norm": ("group norm: 5 an element (4 without scale)", _fvcore_norm(2)),
    "aten.layer_norm": ("layer norm: 5 an element (4 without scale)", _fvcore_norm(2)),
    "aten.instance_norm": ("instance norm: 5 an element (4 without scale)", _fvcore_norm(1)),
    "aten.upsample_nearest2d": ("nearest resizing: 1 an output element", _per_output(1)),
    "aten.upsample_bilinear2d": ("bilinear resizing: 4 an output element", _per_output(4)),
    "aten.adaptive_avg_pool2d": (
        "adaptive average pooling: 1 an input element",
        lambda call: prod(call.input_shape),
    ),
    "aten.grid_sampler": ("grid sampling: 4 an output element", _per_output(4)),
}

_FVCORE_UNMODELLED = {"aten.einsum"}  # priced from a number that numpy prints with four digits


def _predict_fvcore(recording: Recording) -> MacPrediction:
    ledger = _Ledger()
    for call in recording.operators:
        operator, _, overload = call.name.rpartition(".")
        if operator in _FVCORE_UNMODELLED:
            ledger.add_unmodelled(call.name)
        elif operator in _FVCORE_RULES:
            reason, price = _FVCORE_RULES[operator]
            ledger.add(reason, price(call) - call.macs)
        # The overload "padding" is a convolution with padding="same", another operator in a trace.
        elif operator not in _FVCORE_CANONICAL or overload == "padding":
            ledger.add(f"{call.name} is not counted", -call.macs)
    return ledger.close("fvcore", recording.macs)


# thop: one rule a module type, matched exactly, a subclass not included. What no such module does
# is not seen.

_ThopRule = tuple[str, Callable[[ModuleCall], int]]


def _thop_convolution(call: ModuleCall) -> int:
    kernel, groups = call.module.get_parameter("weight").shape[2:], call.module.groups
    assert isinstance(groups, int)
    return prod(call.output_shape) * (call.input_shape[1] // groups) * prod(kernel)


def _thop_linear(call: ModuleCall) -> int:
    num_inputs = call.module.in_features
    assert isinstance(num_inputs, int)
    return prod(call.output_shape) * num_inputs


def _thop_norm(call: ModuleCall) -> int:
    has_scale = getattr(call.module, "affine", False) or getattr(
        call.module, "elementwise_affine", False
    )
    return prod(call.input_shape) * (4 if has_scale else 2)


def _thop_softmax(call: ModuleCall) -> int:
    dim = call.module.dim
    assert isinstance(dim, int)
    num_features = call.input_shape[dim]
    return prod(call.input_shape) // num_features * (3 * num_features - 1)


def _thop_adaptive_pool(call: ModuleCall) -> int:
    # In float64 and cut off at the end, as thop does it: 64 / 6 has no exact value.
    kernel = 1.0
    for old, new in zip(call.input_shape[2:], call.output_shape[2:], strict=True):
        kernel *= old / new
    return int((kernel + 1) * prod(call.output_shape))


def _thop_upsample(call: ModuleCall) -> int:
    prices = {"nearest": 1, "linear": 5, "bilinear": 11, "bicubic": 259}
    return prices.get(str(call.module.mode), 0) * prod(call.output_shape)


def _thop_table() -> dict[type[nn.Module], _ThopRule]:
    convolution = ("convolution", _thop_convolution)
    transposed = ("transposed convolution: by output positions", _thop_convolution)
    norm = ("normalisation modules: 4 an element (2 without scale)", _thop_norm)
    upsample = ("Upsample modules: bilinear 11 an output element", _thop_upsample)
    pool = ("average pooling modules: 1 an output element", lambda call: prod(call.output_shape))
    adaptive = (
        "adaptive average pooling modules: window + 1 an output element",
        _thop_adaptive_pool,
    )
    table: dict[type[nn.Module], _ThopRule] = {
        nn.Linear: ("linear", _thop_linear),
        nn.LayerNorm: norm,
        nn.SyncBatchNorm: norm,
        nn.Softmax: ("Softmax modules: 3 an element less 1 a sum", _thop_softmax),
        nn.PReLU: ("PReLU modules: 1 an element", lambda call: prod(call.input_shape)),
        nn.Upsample: upsample,
        nn.UpsamplingBilinear2d: upsample,
        nn.UpsamplingNearest2d: upsample,
    }
    for types, rule in (
        ((nn.Conv1d, nn.Conv2d, nn.Conv3d), convolution),
        ((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), transposed),
        ((nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d), norm),
        ((nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d), norm),
        ((nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d), pool),
        ((nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d), adaptive),
    ):
        table.update(dict.fromkeys(types, rule))
    return table


_THOP_RULES = _thop_table()
_THOP_UNMODELLED = (nn.RNNBase, nn.RNNCellBase)


def _predict_thop(recording: Recording) -> MacPrediction:
    ledger = _Ledger()
    seen = 0
    for call in recording.modules:
        if isinstance(call.module, _THOP_UNMODELLED):
            ledger.add_unmodelled(type(call.module).__name__)
            seen += call.macs
            continue
        if type(call.module) not in _THOP_RULES:
            continue
        reason, price = _THOP_RULES[type(call.module)]
        seen += call.macs
        ledger.add(reason, price(call) - call.macs)
        # thop hooks a module once for each place where it hangs in the tree, and then also adds it
        # up once for each place.
        num_extra = recording.num_paths[call.module] ** 2 - 1
        ledger.add("shared modules: once for each place, squared", num_extra * price(call))
    ledger.add("functional calls and unknown modules are not seen", seen - recording.macs)
    return ledger.close("thop", recording.macs)
