"""The front by brute force, and the drawing read back."""

import random
from itertools import combinations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from autoseg.reporting import draw_pareto, pareto_front
from autoseg.reporting.pareto import FRONT_GID, UNSETTLED_GID


def row(label, miou, macs, latency, *, has_crf=False):
    return {
        "label": label,
        "has_crf": has_crf,
        "miou": miou,
        "macs": macs,
        "total_latency_median_ms": latency,
    }


ROWS = [
    row("small", 0.4, 1_000_000_000, 10.0),
    row("small", 0.45, 1_000_000_000, 60.0, has_crf=True),
    row("large", 0.5, 5_000_000_000, 50.0),
    row("large", 0.48, 5_000_000_000, 90.0, has_crf=True),
    row("poor", 0.3, 6_000_000_000, 55.0),
    row("unscored", None, 7_000_000_000, 5.0),
]


def front_by_brute_force(costs, scores):
    def is_beaten(i):
        return any(
            costs[j] <= costs[i]
            and scores[j] >= scores[i]
            and (costs[j] < costs[i] or scores[j] > scores[i])
            for j in range(len(costs))
        )

    return {i for i in range(len(costs)) if not is_beaten(i)}


@pytest.mark.parametrize("seed", range(50))
def test_front_equals_brute_force(seed):
    generator = random.Random(seed)
    number = generator.randrange(1, 12)
    # Few different values, so that ties are common.
    costs = [generator.randrange(6) for _ in range(number)]
    scores = [generator.randrange(6) for _ in range(number)]
    front = pareto_front(costs, scores)
    assert set(front) == front_by_brute_force(costs, scores)
    assert len(front) == len(set(front))
    assert [costs[i] for i in front] == sorted(costs[i] for i in front)


def test_front_by_hand():
    assert pareto_front([3, 1, 2, 2], [0.9, 0.5, 0.4, 0.7]) == [1, 3, 0]
    assert pareto_front([], []) == []


def corners(axes):
    (line,) = axes.findobj(lambda artist: artist.get_gid() == FRONT_GID)
    return [tuple(point) for point in line.get_xydata().tolist()]


def test_fronts_of_the_drawing():
    macs, latency = draw_pareto(ROWS).axes
    # MACs: networks alone compete. Latency: all four compete; the CRF of "small" is slower than
    # "large" and worse.
    for axes, front in ((macs, [(1, 40), (5, 50)]), (latency, [(10, 40), (50, 50)])):
        (cheap, dear) = front
        inner = corners(axes)[1:-1]
        # A staircase: right at the score of the cheaper one, then up.
        assert inner == [cheap, (dear[0], cheap[1]), dear]


def test_what_has_not_settled_is_crossed_and_has_no_part_in_the_front():
    rows = [{**each, "is_total_latency_settled": each["label"] != "small"} for each in ROWS]
    figure = draw_pareto(rows)
    macs, latency = figure.axes
    assert corners(macs)[1:-1] == [(1, 40), (5, 40), (5, 50)]  # needs no time
    assert corners(latency)[1:-1] == [(50, 50)]
    (crosses,) = figure.findobj(lambda artist: artist.get_gid() == UNSETTLED_GID)
    assert crosses.axes is latency
    assert crosses.get_xydata().tolist() == [[10, 40], [60, 45]]
    for drawn, told in ((rows, True), (ROWS, False)):
        texts = [text.get_text() for text in draw_pareto(drawn).legends[0].get_texts()]
        assert ("its time is not settled: not ranked" in texts) == told


def test_points_and_joining_lines():
    latency = draw_pareto(ROWS).axes[1]
    drawn = [line.get_xydata().tolist() for line in latency.get_lines()]
    for points in ([[10, 40]], [[60, 45]], [[50, 50]], [[90, 48]], [[55, 30]]):
        assert drawn.count(points) == 1
    assert [[10.0, 40.0], [60.0, 45.0]] in drawn  # with and without CRF, joined
    assert [[50.0, 50.0], [90.0, 48.0]] in drawn
    names = [text.get_text() for text in latency.texts if text.get_text()]
    assert sorted(names) == ["large", "poor", "small"]


def test_axis_is_logarithmic_beyond_a_factor_of_ten():
    for largest, scale in ((10_000, "linear"), (10_001, "log")):
        rows = [row("a", 0.4, 1000, 5.0), row("b", 0.5, largest, 6.0)]
        macs, latency = draw_pareto(rows).axes
        assert macs.get_xscale() == scale
        assert latency.get_xscale() == "linear"


def test_unit_of_macs_follows_the_largest():
    assert "(G" in draw_pareto(ROWS).axes[0].get_xlabel()
    assert "(M" in draw_pareto([row("a", 0.4, 2_000_000, 5.0)]).axes[0].get_xlabel()


@pytest.mark.parametrize("seed", range(4))
def test_names_overlap_neither_each_other_nor_a_point(seed):
    generator = random.Random(seed)
    # Eight networks close to each other, the hard case.
    rows = [
        row(
            f"a_long_network_name_{i}",
            0.4 + 0.02 * generator.random(),
            10**9 + generator.randrange(10**8),
            10 + generator.random(),
        )
        for i in range(8)
    ]
    figure = draw_pareto(rows)
    renderer = FigureCanvasAgg(figure).get_renderer()
    for axes in figure.axes:
        boxes = [text.get_window_extent(renderer) for text in axes.texts if text.get_text()]
        assert len(boxes) == 8
        assert not [pair for pair in combinations(boxes, 2) if pair[0].overlaps(pair[1])]
        frame = axes.get_window_extent(renderer)
        points = [
            axes.transData.transform(line.get_xydata()[0])
            for line in axes.get_lines()
            if line.get_marker() == "o"
        ]
        assert len(points) == 8
        for box in boxes:
            assert not any(box.contains(x, y) for x, y in points)
            assert frame.x0 <= box.x0 and box.x1 <= frame.x1
            assert frame.y0 <= box.y0 and box.y1 <= frame.y1


def test_nothing_scored_is_refused():
    with pytest.raises(ValueError, match=r"no row has an mIoU, so there is nothing to draw"):
        draw_pareto([row("a", None, 1, 1.0)])
