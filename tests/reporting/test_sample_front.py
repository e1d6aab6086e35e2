"""The front of a search's samples, read back from the artists."""

from autoseg.reporting import draw_sample_front
from tests.reporting.test_sample_scores import artist


def test_the_front_by_hand():
    records = [
        {"sample": 1, "score": 0.25, "macs": 2_000_000},
        {"sample": 2, "score": 0.2, "macs": 3_000_000},  # beaten by the first
        {"sample": 3, "score": None, "macs": 1_000_000},
        {"sample": 4, "score": 0.5, "macs": 4_000_000},
        {"epoch": 1},
    ]
    figure = draw_sample_front(records, title="a search")
    expected = [[2, 25], [3, 20], [4, 50]]  # in millions and percent
    assert artist(figure, "sample").get_offsets().tolist() == expected
    assert artist(figure, "front").get_xydata().tolist() == [[2, 25], [4, 50]]
    assert artist(figure, "kept").get_offsets().tolist() == [[4, 50]]
    assert figure.axes[0].get_xlabel() == "multiply-accumulates of an image (M)"


def test_a_front_of_latency_is_in_milliseconds():
    records = [
        {"score": 0.25, "latency_ms": 4.5},
        {"score": 0.5, "latency_ms": 8.0},
        {"score": 0.4, "latency_ms": 9.0},
    ]
    figure = draw_sample_front(records)
    assert artist(figure, "sample").get_offsets().tolist() == [[4.5, 25], [8, 50], [9, 40]]
    assert artist(figure, "front").get_xydata().tolist() == [[4.5, 25], [8, 50]]
    assert figure.axes[0].get_xlabel() == "predicted latency of an image (ms)"


def test_without_scores_the_figure_says_so():
    figure = draw_sample_front([{"sample": 1, "score": None, "macs": 7}])
    assert [text.get_text() for text in figure.axes[0].texts] == ["not logged"]
