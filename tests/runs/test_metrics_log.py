import json
import math

import pytest

from autoseg.errors import FileError
from autoseg.runs.metrics_log import MetricsLog, load_metrics


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


def test_a_disk_that_takes_half_a_line_keeps_the_lines_before(tmp_path, monkeypatch):
    log = MetricsLog(tmp_path)
    log.append({"step": 1})
    real = log._lines._file

    class Full:
        def write(self, data):
            return real.write(data[:5])

        def truncate(self, size):
            return real.truncate(size)

    monkeypatch.setattr(log._lines, "_file", Full())
    with pytest.raises(OSError, match=r"could not write .*metrics\.jsonl: only 5 of \d+ bytes"):
        log.append({"step": 2})
    monkeypatch.setattr(log._lines, "_file", real)
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


def written(folder, *lines):
    log = MetricsLog(folder)
    for line in lines:
        log.append(line)
    log.close()
    return log.path


def test_a_last_line_cut_at_any_byte_is_dropped_with_a_word(tmp_path):
    path = written(tmp_path, {"step": 1}, {"step": 2, "loss": 0.5, "note": "größe"})
    content = path.read_bytes()
    start = content.index(b"\n") + 1
    for end in range(start + 1, len(content) - 1):
        path.write_bytes(content[:end])
        with pytest.warns(
            UserWarning, match=rf"metrics\.jsonl was cut off \({end - start} bytes\)"
        ):
            log = MetricsLog(tmp_path)
        log.append({"step": 2})
        log.close()
        assert [line["step"] for line in load_metrics(tmp_path)] == [1, 2]


def test_a_last_line_that_lacks_its_end_alone_is_completed(tmp_path):
    path = written(tmp_path, {"step": 1}, {"step": 2})
    content = path.read_bytes()
    path.write_bytes(content[:-1])  # some editors do this
    log = MetricsLog(tmp_path)
    log.append({"step": 3})
    log.close()
    assert path.read_bytes().startswith(content)
    assert [line["step"] for line in load_metrics(tmp_path)] == [1, 2, 3]


DAMAGES = [
    (b"\xff", "utf-8"),
    (b"{", "Expecting"),
    (b"", "Expecting value"),
    (b"[1]", "it must be an object"),
    (b"null", "it must be an object"),
    (b'{"step": "1"}', "step is '1'; it must be a whole number"),
    (b'{"step": null}', "step is None; it must be a whole number"),
    (b'{"loss": "x"}', "loss is 'x'; it must be a number"),
    (b'{"loss": NaN}', "holds NaN"),
    (b'{"time": 3}', "time is 3; it must be a time"),
    (b'{"architecture": 3}', "architecture is 3; it must be an object"),
    (b"[" * 100_000, "nested too deeply"),
    (b'{"step": ' + b"9" * 5000 + b"}", "4300 digits"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES, ids=[reason for _, reason in DAMAGES])
def test_a_bad_line_is_named_before_anything_is_built_on_it(tmp_path, damage, reason):
    path = written(tmp_path, {"step": 1}, {"step": 2}, {"step": 3})
    lines = path.read_bytes().splitlines()
    lines[1] = damage
    path.write_bytes(b"\n".join(lines) + b"\n")
    rule = rf"metrics\.jsonl, line 2, is not as it was written: .*{reason}.* delete this line"
    for read in (MetricsLog, load_metrics):
        with pytest.raises(FileError, match=rule) as caught:
            read(tmp_path)
        assert str(caught.value).isprintable() and len(str(caught.value)) < 600


def test_what_would_not_be_read_back_is_not_written(tmp_path):
    log = MetricsLog(tmp_path)
    with pytest.raises(ValueError, match=r"metrics\.step is 1\.5; it must be a whole number"):
        log.append({"step": 1.5})
    assert lines(log) == []
    log.close()


def test_going_back_forgets_later_steps_though_a_line_was_deleted(tmp_path):
    log = MetricsLog(tmp_path)
    log.append({"step": 10, "note": "x" * 50})
    log.append({"step": 20})
    num_bytes = log.num_bytes  # of the checkpoint
    log.append({"step": 30})
    log.append({"step": 40})
    log.close()
    content = log.path.read_bytes()
    log.path.write_bytes(content[content.index(b"\n") + 1 :])
    log = MetricsLog(tmp_path)
    with pytest.warns(UserWarning, match="lines were lost"):
        log.truncate(num_bytes, step=20)
    assert [line["step"] for line in lines(log)] == [20]
    log.append({"step": 30})
    assert [line["step"] for line in lines(log)] == [20, 30]
    log.close()


def test_lines_without_a_step_go_by_their_place(tmp_path):
    log = MetricsLog(tmp_path)
    log.append({"note": "a"})
    num_bytes = log.num_bytes
    log.append({"note": "b"})
    log.truncate(num_bytes, step=5)
    assert [line["note"] for line in lines(log)] == ["a"]
    log.truncate(0, step=-1)
    assert lines(log) == []
    log.close()


def test_truncating_beyond_the_end_warns_of_lost_lines(tmp_path):
    log = MetricsLog(tmp_path)
    log.append({"step": 1})
    with pytest.warns(UserWarning, match=r"has \d+ bytes, its checkpoint knew 9999: lines were"):
        log.truncate(9999, step=1)
    assert len(lines(log)) == 1
    log.close()
