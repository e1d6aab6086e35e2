import pytest

from autoseg.config import TrainingConfig
from autoseg.errors import UsageError


@pytest.mark.parametrize(
    ("field", "value", "rule"),
    [
        ("num_steps", 0, "at least 1"),
        ("batch_size", 0, "at least 1"),
        ("learning_rate", 0.0, "above 0"),
        ("learning_rate", float("nan"), "above 0"),
        ("gradient_clip", -1.0, "at least 0"),
    ],
)
def test_impossible_values_are_refused_by_name(field, value, rule):
    settings = {"num_steps": 1, "batch_size": 2, "crop_size": (8, 8), field: value}
    with pytest.raises(UsageError, match=f"{field} = {value}: it must.*{rule}"):
        TrainingConfig(**settings)
