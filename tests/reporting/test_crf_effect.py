"""Which changes are right, worked by hand, and what is drawn."""

import numpy as np

from autoseg.reporting.crf_effect import EFFECTS, Refined, draw_effect, effect_of

WHITE, GREY = [255, 255, 255], [235, 235, 235]
# One pixel of each kind: kept, mended, broken, wrong twice, and two that are not known.
REFINED = Refined(
    name="a",
    before=np.array([[0, 1, 1, 1, 2, 0]]),
    after=np.array([[0, 2, 2, 2, 1, 0]]),
    target=np.array([[1, 2, 1, 0, 255, 255]]),
)


def test_every_change_has_the_colour_of_what_it_does():
    effect = effect_of(REFINED, ignore_index=255)
    expected = [GREY, *(list(colour) for colour in EFFECTS.values()), WHITE, WHITE]
    assert effect.tolist() == [expected]


def test_each_image_has_a_row_of_three_panels():
    palette = np.array([[0, 0, 0], [10, 20, 30], [200, 100, 50]], dtype=np.uint8)
    figure = draw_effect(
        [REFINED, REFINED],
        palette=palette,
        class_names=("road", "sky", "car"),
        ignore_index=255,
        title="t",
    )
    images = [axes.get_images()[0].get_array() for axes in figure.axes]
    assert len(images) == 6
    assert np.array_equal(images[0], palette[REFINED.before])
    assert np.array_equal(images[1], palette[REFINED.after])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["road", "sky", "car", *EFFECTS, "unchanged", "not labelled"]
