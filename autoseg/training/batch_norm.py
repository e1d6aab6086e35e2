"""Which images the statistics of batch norm are of, in a training."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from autoseg.config.optimisation import BatchNormStatistics
from autoseg.distributed import average_over_processes_, running_statistics, sync_batch_norm_


def prepare_batch_norm_(network: nn.Module, statistics: BatchNormStatistics) -> None:
    """Let batch norms take the statistics that a recipe names.

    Args:
        network: In train mode. Frozen norms are put into eval mode: they normalise by what they
            have.
        statistics: Which ones, as in `OptimisationConfig.batch_norm`.

    Raises:
        UsageError: If a batch norm cannot be synced.
    """
    if statistics == "synced":
        sync_batch_norm_(network)
    elif statistics == "frozen":
        for module in network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()


def average_statistics_(network: nn.Module, statistics: BatchNormStatistics) -> None:
    """Give all processes one set of running statistics after a step, the mean of their own.

    Only those that are taken per device differ. It is done after every step and not only before
    the network is scored, so that a training may stop anywhere.
    """
    if statistics == "per-device":
        average_over_processes_(running_statistics(network))
