"""The scores are read back from the artists."""

from autoseg.reporting import draw_scores


def artist(figure, gid):
    (found,) = figure.findobj(lambda artist: artist.get_gid() == gid)
    return found


def test_scores_by_hand():
    records = [
        {"sample": 1, "score": 0.25},
        {"sample": 2, "score": None},
        {"step": 7},
        {"sample": 3, "score": 0.5},
        {"sample": 4, "score": 0.125},
    ]
    figure = draw_scores(records, title="a search")
    expected = [[1, 25.0], [3, 50.0], [4, 12.5]]  # in percent
    assert artist(figure, "score").get_offsets().tolist() == expected
    assert artist(figure, "best").get_xydata().tolist() == [[1, 25.0], [3, 50.0], [4, 50.0]]
    assert artist(figure, "kept").get_offsets().tolist() == [[3, 50.0]]
    assert figure.get_suptitle() == "a search"


def test_without_scores_the_figure_says_so():
    figure = draw_scores([{"step": 1}, {"sample": 1, "score": None}])
    assert [text.get_text() for text in figure.axes[0].texts] == ["not logged"]
