"""Rows, power laws and figures of the benchmark of the search step, by hand."""

import dataclasses

import pytest

from tests.benchmarks.search_settings import small_setting, small_space


def measurement(bench, variant, times, memory_mib=100.0, **changes):
    made = bench.setting.Measurement(
        setting=small_setting(bench),
        variant=variant,
        warm_up=(bench.setting.StepTime(step_ms=999.0, weight_ms=500.0, arch_ms=499.0),),
        times=tuple(
            bench.setting.StepTime(step_ms=w + a, weight_ms=w, arch_ms=a) for w, a in times
        ),
        memory_mib=memory_mib,
        calls=bench.setting.Calls(num_operator_calls=7, num_kernel_calls=2, num_free_calls=1),
    )
    return dataclasses.replace(made, **changes)


def rows_of(bench, measurements, ceilings):
    running = bench.running
    return running.compare([running.row_of(each, ceilings) for each in measurements])


def test_rows_hold_ratios_of_one_run(bench):
    measurements = [
        measurement(bench, "torch", [(3.0, 2.0), (2.0, 2.0), (9.0, 9.0)], memory_mib=50.0),
        measurement(bench, "peer", [(30.0, 10.0)]),
        measurement(bench, "fused", [], failure="no compiler", memory_mib=None, calls=None),
    ]
    ceilings = bench.work.Ceilings(gflop_per_s=100.0, gb_per_s=1e9)
    torch_row, peer_row, fused_row = rows_of(bench, measurements, ceilings)
    assert (torch_row.weight_min_ms, torch_row.arch_min_ms, torch_row.step_min_ms) == (2, 2, 4)
    assert (torch_row.weight_median_ms, torch_row.step_median_ms) == (3, 5)
    assert torch_row.speedup_peer_min == 40 / 4
    assert torch_row.speedup_peer_median == 40 / 5
    assert torch_row.memory_peer == 2
    assert torch_row.speedup_reference_min is None
    assert torch_row.warm_up_ms == 999
    assert (peer_row.speedup_peer_min, peer_row.num_repeats) == (1, 1)
    work = bench.work.count_work(small_space(), crop=32, batch_size=2, num_classes=3)
    assert torch_row.floor_ms == pytest.approx(work.step_flops / 1e8)
    assert torch_row.floor_share == pytest.approx(torch_row.floor_ms / 4)
    assert (fused_row.step_min_ms, fused_row.floor_share) == (None, None)
    table = bench.report.table_markdown([torch_row, peer_row, fused_row])
    assert "- not measured: fused: no compiler" in table
    assert "2.000 / 3.000" in table and "reference" not in table


def test_a_graphed_step_has_no_halves(bench):
    times = (bench.setting.StepTime(step_ms=5.0, weight_ms=None, arch_ms=None),)
    made = dataclasses.replace(measurement(bench, "fused-graph", []), times=times)
    ceilings = bench.work.Ceilings(gflop_per_s=1.0, gb_per_s=1.0)
    (row,) = rows_of(bench, [made], ceilings)
    assert (row.weight_min_ms, row.arch_median_ms, row.step_min_ms) == (None, None, 5)
    bars = bench.figures.draw_comparison([row], title="").axes[0].patches
    assert [bar.get_width() for bar in bars] == [0, 0, 5]


def scaling_rows(bench):
    """Times 2 * L * F^1.5 * (crop / 64)^2 * N of the grid, exactly."""
    rows = []
    for setting in bench.scaling.scaling_settings(small_setting(bench)):
        space = setting.space
        factors = space.num_layers * space.filter_multiplier**1.5 * (setting.crop / 64) ** 2
        made = measurement(bench, "torch", [(factors * setting.batch_size, 0.0)], memory_mib=8.0)
        made = dataclasses.replace(made, setting=setting)
        rows += rows_of(bench, [made], bench.work.Ceilings(gflop_per_s=1, gb_per_s=1))
    return rows


def test_power_laws_are_found(bench):
    rows = scaling_rows(bench)
    num_values = sum(len(values) for values in bench.scaling.GRID.values())
    assert len(rows) == num_values - (len(bench.scaling.GRID) - 1)  # the base is on every curve
    laws = {(law.factor, law.quantity): law for law in bench.scaling.fit_power_laws(rows)}
    exponents = {"num_layers": 1, "filter_multiplier": 1.5, "crop": 2, "batch_size": 1}
    for factor, exponent in exponents.items():
        law = laws[factor, "step_min_ms"]
        assert law.exponent == pytest.approx(exponent)
        assert law.largest_error == pytest.approx(0, abs=1e-9)
        assert law.num_points == len(bench.scaling.GRID[factor])
        assert laws[factor, "memory_mib"].exponent == pytest.approx(0, abs=1e-9)
    assert laws["num_layers", "step_min_ms"].coefficient == pytest.approx(4**1.5 * 2)


def test_the_figure_shows_points_and_laws(bench):
    rows = scaling_rows(bench)
    laws = list(bench.scaling.fit_power_laws(rows))
    figure = bench.figures.draw_scaling(rows, laws, title="")
    crop = figure.axes[list(bench.scaling.GRID).index("crop")]
    dots, line = crop.lines
    assert tuple(dots.get_xdata()) == bench.scaling.GRID["crop"]
    assert line.get_label() == "torch: x^2.00"


def test_bars_are_the_smallest_times(bench):
    made = [
        measurement(bench, "torch", [(3.0, 2.0), (4.0, 1.0)]),
        measurement(bench, "peer", [], failure="broken"),
    ]
    rows = rows_of(bench, made, bench.work.Ceilings(gflop_per_s=1.0, gb_per_s=1.0))
    left, right = bench.figures.draw_comparison(rows, title="").axes
    assert [bar.get_width() for bar in left.patches] == [3, 1]
    assert [bar.get_width() for bar in right.patches] == [100]
    with pytest.raises(ValueError, match="no variant was measured"):
        bench.figures.draw_comparison(rows[1:], title="")
