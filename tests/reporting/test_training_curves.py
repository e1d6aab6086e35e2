"""The curves are read back from the artists."""

import math

from autoseg.reporting import draw_training
from autoseg.reporting.training_curves import LOSS_GID, SCORE_GID

UNET = [
    {"step": 100, "loss": 2.0, "val_miou": 0.25, "learning_rate": 0.1},
    {"step": 200, "loss": 1.5, "val_miou": 0.5},
    {"step": 300, "loss": 1.25, "val_miou": 0.375},
]
ICNET = [{"step": 100, "loss": 3.0, "val_miou": None}, {"step": 200, "loss": None}]


def curve(figure, gid):
    (line,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    return line.get_xydata().tolist()


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_curves_by_hand():
    figure = draw_training({"unet": [UNET], "icnet": [ICNET]}, title="two networks")
    assert curve(figure, f"{LOSS_GID}-0") == [[100, 2.0], [200, 1.5], [300, 1.25]]
    assert curve(figure, f"{SCORE_GID}-0") == [[100, 25.0], [200, 50.0], [300, 37.5]]  # percent
    first, gap = curve(figure, f"{LOSS_GID}-1")
    assert first == [100, 3.0] and math.isnan(gap[1])
    assert legend(figure) == ["unet: best 50.00 % at step 200", "icnet: not validated"]
    assert figure.get_suptitle() == "two networks"
    # The ring lies on the best validation.
    rings = [line for line in figure.axes[1].lines if line.get_markersize() == 9]
    assert [ring.get_xydata().tolist() for ring in rings] == [[[200, 50.0]]]


def test_of_equal_scores_the_first_is_the_best():
    lines = [{"step": step, "loss": 1.0, "val_miou": 0.5} for step in (1, 2)]
    assert legend(draw_training({"a": [lines]})) == ["a: best 50.00 % at step 1"]


def test_every_network_has_its_own_stroke():
    names = [f"net {number}" for number in range(20)]
    figure = draw_training({name: [UNET] for name in names}, score="training mIoU")
    strokes = {
        (line.get_color(), str(line.get_linestyle()), str(line._dash_pattern))
        for line in figure.axes[0].lines
    }
    assert len(strokes) == 20
    assert figure.axes[1].get_title(loc="left") == "training mIoU"


def test_nothing_logged_is_drawn_as_nothing():
    figure = draw_training({"a": [[]]})
    assert curve(figure, f"{LOSS_GID}-0") == []
    assert legend(figure) == ["a: not validated"]


def test_trainings_of_one_network_are_one_curve_with_all_of_them_behind_it():
    other = [
        {"step": 100, "loss": 1.0, "val_miou": 0.75},
        {"step": 300, "loss": 0.75, "val_miou": 0.125},
    ]
    figure = draw_training({"icnet": [ICNET], "unet": [UNET, other]})
    # The mean is at the steps that both have.
    assert curve(figure, f"{LOSS_GID}-1") == [[100, 1.5], [300, 1.0]]
    assert curve(figure, f"{SCORE_GID}-1") == [[100, 50.0], [300, 25.0]]
    thin = [line for line in figure.axes[1].lines if line.get_linewidth() == 0.7]
    assert [line.get_xydata().tolist() for line in thin] == [
        [[100, 25.0], [200, 50.0], [300, 37.5]],
        [[100, 75.0], [300, 12.5]],
    ]
    assert legend(figure)[1] == "unet: best 62.50 %, deviation 17.68, of 2 seeds"  # 25 / sqrt(2)
    assert legend(figure)[0] == "icnet: not validated"
    rings = [line for line in figure.axes[1].lines if line.get_markersize() == 9]
    assert [ring.get_xydata().tolist() for ring in rings] == [[[200, 50.0]], [[100, 75.0]]]
