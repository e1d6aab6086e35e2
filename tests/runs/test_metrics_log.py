import json
import math

import pytest

from autoseg.runs.metrics_log import MetricsLog


def lines(log):
    return [json.loads(line) for line in log.path.read_text().splitlines()]


def test_a_line_is_there_at_once(tmp_path):
    log = MetricsLog(tmp_path)
    log.append({"step": 1, "iou": [0.5, math.nan]})
    (line,) = lines(log)
    assert line.pop("time").endswith("+00:00")
    assert line == {"step": 1, "iou": [0.5, None]}
    assert log.num_bytes == log.path.stat().st_size
    log.close()


def test_a_line_that_a_kill_cut_off_is_dropped(tmp_path):
    log = MetricsLog(tmp_path)
    log.append({"step": 1})
    log.close()
    with log.path.open("a") as file:
        file.write('{"step": 2, "lo')
    log = MetricsLog(tmp_path)
    log.append({"step": 2})
    assert [line["step"] for line in lines(log)] == [1, 2]
    log.close()


def test_a_disk_that_takes_half_a_line_keeps_the_lines_before(tmp_path, monkeypatch):
    log = MetricsLog(tmp_path)
    log.append({"step": 1})
    real = log._file

    class Full:
        def write(self, data):
            return real.write(data[:5])

        def truncate(self, size):
            return real.truncate(size)

    monkeypatch.setattr(log, "_file", Full())
    with pytest.raises(OSError, match=r"could not write .*metrics\.jsonl: only 5 of \d+ bytes"):
        log.append({"step": 2})
    monkeypatch.setattr(log, "_file", real)
    log.append({"step": 3})
    assert [line["step"] for line in lines(log)] == [1, 3]
    log.close()


def test_infinity_and_the_name_time_are_refused(tmp_path):
    log = MetricsLog(tmp_path)
    with pytest.raises(ValueError, match=r"metrics\.loss is inf"):
        log.append({"loss": math.inf})
    with pytest.raises(ValueError, match="the name 'time' is taken"):
        log.append({"time": 3})
    assert lines(log) == []
    log.close()


def test_truncating_beyond_the_end_warns_of_lost_lines(tmp_path):
    log = MetricsLog(tmp_path)
    log.append({"step": 1})
    with pytest.warns(UserWarning, match=r"has \d+ bytes, its checkpoint knew 9999: lines were"):
        log.truncate(9999)
    assert len(lines(log)) == 1
    log.close()
