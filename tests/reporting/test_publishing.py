"""Commands as records show them."""

from autoseg.reporting.publishing import published_command


def test_absolute_paths_are_cut_and_the_rest_stays():
    command = [
        "python",
        "benchmarks/crf.py",
        "--convcrf",
        "/home/me/Conv CRF",
        "--out",
        "results/a",
    ]
    expected = "python benchmarks/crf.py --convcrf 'Conv CRF' --out results/a"
    assert published_command(command) == expected
