"""The presets against the paper's numbers, and settings that cannot work."""

import pytest

from autoseg.architecture import SearchSpace
from autoseg.config import SEARCH_PRESETS, SearchConfig
from autoseg.errors import UsageError


def test_paper_preset_is_the_papers():
    # Auto-DeepLab (arXiv 1901.02985), section 5.1; Adam's betas are torch's defaults.
    space = SearchSpace.load("autodeeplab", preset="paper")
    assert (space.num_layers, space.num_nodes, space.filter_multiplier) == (12, 5, 8)
    config = SEARCH_PRESETS["paper"]
    assert (config.crop_size, config.scale_range) == ((321, 321), (1.0, 1.0))
    assert (config.batch_size, config.num_epochs, config.arch_start_epoch) == (2, 40, 20)
    assert (config.momentum, config.weight_decay) == (0.9, 3e-4)
    assert (config.weight_lr, config.weight_lr_final) == (0.025, 0.001)
    assert (config.arch_lr, config.arch_weight_decay) == (3e-3, 1e-3)
    assert config.beta_norm == "paper"


def test_an_architecture_that_would_never_move_is_refused():
    with pytest.raises(UsageError, match="never be trained; use --arch-start-epoch 5"):
        SearchConfig(num_epochs=10, arch_start_epoch=10)


@pytest.mark.parametrize(
    ("field", "value"), [("num_epochs", 0), ("batch_size", 0), ("arch_lr", 0.0), ("val_images", -1)]
)
def test_impossible_values_are_refused_by_name(field, value):
    with pytest.raises(UsageError, match=f"{field} = {value}: it must"):
        SearchConfig(**{field: value})
