import numpy as np

from autoseg.reporting.receptive_fields import FIELD_GID, FieldPanel, draw_receptive_fields


def test_cells_keep_the_largest_share_and_the_box_lies_in_pixels():
    field = np.zeros((200, 330))
    field[100, 165], field[199, 329] = 4.0, 0.4  # cells of 3 pixels: 330 over 160, rounded up
    panel = FieldPanel(name="a $x$", effective=field, box=(90, 150, 112, 180), text="22 x 30")
    figure = draw_receptive_fields([panel, panel])
    image, other = figure.findobj(lambda each: str(each.get_gid()).startswith(FIELD_GID))
    expected = np.full((67, 110), -3.0)
    expected[33, 55], expected[66, 109] = 0.0, -1.0
    np.testing.assert_allclose(image.get_array(), expected)
    np.testing.assert_array_equal(image.get_array(), other.get_array())
    assert image.get_extent() == [0, 330, 201, 0] and image.axes.get_ylim() == (200, 0)
    (box,) = image.axes.patches
    assert (*box.get_xy(), box.get_width(), box.get_height()) == (150, 90, 30, 22)
