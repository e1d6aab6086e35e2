"""The difference shows changed pixels in their new colour, and nothing else in colour."""

import numpy as np

from autoseg.reporting.crf_picture import draw_refinement


def test_panels_hold_their_pixels():
    generator = np.random.default_rng(0)
    image, before, after = generator.integers(0, 256, (3, 4, 6, 3), dtype=np.uint8)
    is_changed = np.zeros((4, 6), dtype=bool)
    is_changed[1, 2] = is_changed[3, 5] = True
    figure = draw_refinement(image, before, after, is_changed=is_changed, title="A photo")
    panels = {axes.get_title(): axes.images[0].get_array() for axes in figure.axes}
    assert list(panels) == ["image", "before", "after", "changed to"]
    np.testing.assert_array_equal(panels["image"], image)
    np.testing.assert_array_equal(panels["before"], before)
    np.testing.assert_array_equal(panels["after"], after)
    difference = np.asarray(panels["changed to"])
    np.testing.assert_array_equal(difference[is_changed], after[is_changed])
    unchanged = difference[~is_changed]
    assert (unchanged == unchanged[:, :1]).all()  # grey
    assert unchanged.min() >= 191  # and pale
    assert figure.get_suptitle() == "A photo"
