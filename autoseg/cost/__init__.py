"""What a network costs: parameters, multiply-accumulates, latency, memory, energy; what it sees."""

from typing import TYPE_CHECKING

from autoseg.deferred import deferred_names

if TYPE_CHECKING:
    from autoseg.cost.counters import (
        ToolCount,
        count_macs_fvcore,
        count_macs_thop,
        count_macs_torch,
    )
    from autoseg.cost.device import has_own_memory
    from autoseg.cost.energy import energy_meter, measure_energy
    from autoseg.cost.explanation import (
        MacExplanation,
        MacPrediction,
        MacTerm,
        explain_macs,
    )
    from autoseg.cost.fitting import (
        USED_SHARE,
        foreseen_batch,
        free_memory_mib,
        is_out_of_memory,
        largest_batch,
        memory_share,
        worthwhile_batch,
    )
    from autoseg.cost.latency import Latency, measure_latency, synchronised_clock
    from autoseg.cost.macs import MacCount, OperatorCost, count_macs, count_module_macs
    from autoseg.cost.memory import measure_peak_memory
    from autoseg.cost.parameters import count_parameters
    from autoseg.cost.receptive_field import (
        TheoreticalField,
        effective_field,
        effective_side,
        theoretical_field,
    )
    from autoseg.cost.resident import PeakMemory, measure_resident_peak
    from autoseg.cost.rounds import (
        measure_in_rounds,
        measure_interleaved,
        reference_operation,
    )
else:
    # Deferred, since `python -m autoseg.cost --help` imports this package first.
    __getattr__, __dir__ = deferred_names(
        __name__,
        "counters",
        "device",
        "energy",
        "explanation",
        "fitting",
        "latency",
        "macs",
        "memory",
        "parameters",
        "receptive_field",
        "resident",
        "rounds",
    )

__all__ = [
    "USED_SHARE",
    "Latency",
    "MacCount",
    "MacExplanation",
    "MacPrediction",
    "MacTerm",
    "OperatorCost",
    "PeakMemory",
    "TheoreticalField",
    "ToolCount",
    "count_macs",
    "count_macs_fvcore",
    "count_macs_thop",
    "count_macs_torch",
    "count_module_macs",
    "count_parameters",
    "effective_field",
    "effective_side",
    "energy_meter",
    "explain_macs",
    "foreseen_batch",
    "free_memory_mib",
    "has_own_memory",
    "is_out_of_memory",
    "largest_batch",
    "measure_energy",
    "measure_in_rounds",
    "measure_interleaved",
    "measure_latency",
    "measure_peak_memory",
    "measure_resident_peak",
    "memory_share",
    "reference_operation",
    "synchronised_clock",
    "theoretical_field",
    "worthwhile_batch",
]
