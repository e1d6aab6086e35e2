import pytest
import torch

from autoseg.ops import pad_image


@pytest.mark.parametrize(
    ("size", "multiple", "minimum", "padded"),
    [
        ((33, 48), 16, 1, (48, 48)),
        ((1, 17), 16, 1, (16, 32)),
        ((33, 20), 1, 32, (33, 32)),
        ((100, 225), 32, 224, (224, 256)),
        ((5, 7), 1, 1, (5, 7)),
    ],
)
def test_worked_cases(size, multiple, minimum, padded) -> None:
    images = torch.randn(2, 3, *size)
    result = pad_image(images, multiple=multiple, minimum=minimum)
    assert result.shape == (2, 3, *padded)
    assert torch.equal(result[:, :, : size[0], : size[1]], images)
    assert not result[:, :, size[0] :].any()
    assert not result[:, :, :, size[1] :].any()
