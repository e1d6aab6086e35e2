"""Parts of a resized image against the same parts of what torch resizes as a whole."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from autoseg.evaluation import resizing
from autoseg.evaluation.resizing import enlarged_part, resized_part

SIZE = (150, 170)


@pytest.mark.parametrize("resized", [(150, 170), (37, 41), (75, 85), (200, 210), (2, 169)])
@pytest.mark.parametrize("max_values", [2**24, 3000])  # at once, or a few rows at a time
def test_an_image_is_resized_as_by_torch(resized, max_values, monkeypatch):
    monkeypatch.setattr(resizing, "_MAX_VALUES", max_values)
    image = np.random.default_rng(0).integers(256, size=(2, *SIZE), dtype=np.uint8)
    expected = F.interpolate(
        torch.from_numpy(image)[None].double(),
        size=resized,
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )[0].float()
    for rows in (slice(0, resized[0]), slice(1, resized[0] // 2 + 1)):
        for columns in (slice(0, resized[1]), slice(resized[1] // 3, resized[1] - 2)):
            part = resized_part(
                lambda rows, columns: image[:, rows, columns],
                SIZE,
                resized,
                rows,
                columns,
                num_channels=2,
            )
            # Values of up to 255 in float32, weights rounded once: some 1e-5.
            torch.testing.assert_close(part, expected[:, rows, columns], rtol=0, atol=1e-4)


@pytest.mark.parametrize("resized", [(150, 170), (400, 333), (61, 90), (1500, 171)])
def test_maps_are_resized_as_by_torch(resized):
    maps = torch.randn(3, *SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = F.interpolate(maps[None], size=resized, mode="bilinear", align_corners=False)[0]
    rows, columns = slice(0, resized[0]), slice(0, resized[1])
    part = enlarged_part(maps, (0, 0), SIZE, resized, rows, columns)
    torch.testing.assert_close(part, expected, rtol=0, atol=1e-12)
    # From rows 40 to 89 and columns 30 to 99 alone: the result's pixels between their centres.
    rows, columns = (
        slice(-(-41 * resized[0] // SIZE[0]), 89 * resized[0] // SIZE[0]),
        slice(-(-31 * resized[1] // SIZE[1]), 99 * resized[1] // SIZE[1]),
    )
    part = enlarged_part(maps[:, 40:90, 30:100], (40, 30), SIZE, resized, rows, columns)
    torch.testing.assert_close(part, expected[:, rows, columns], rtol=0, atol=1e-12)
