"""`--print-config` of every command: the file that it prints is the request that was typed."""

import pytest

from autoseg.__main__ import COMMANDS
from tests.cli.test_drawn_arguments import LEADING, reader_of

TYPED = {
    "data": ["--out", 'a "card"', "--num-samples", "3"],
    "search": ["--arch-lr", "1e-05", "--crop-size", "64", "96", "--seed", "4"],
    "retrain": ["--network", "unet", "icnet_resnet50", "--num-steps", "7"],
    "compare": ["--networks", "unet", "--no-crf", "--scales", "0.5", "1"],
    "evaluate": ["--split", "train", "--flip"],
    "show": [],
    "predict": ["--opacity", "0.25", "--no-legend"],
    "export": ["--format", "onnx", "torchscript"],
    "tune": ["--num-images", "3", "--num-trials", "7", "--cache-mib", "5"],
    "crf": ["--num-iterations", "3", "--void", "none", "--bilateral-weight", "2.5"],
    "latency": ["--size", "64", "96", "--num-classes", "5"],
    "cost": ["--size", "3", "5", "--receptive-field"],
    "networks": ["--size", "64", "96", "--format", "csv"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_printed_file_reads_back_to_the_same_request(command, tmp_path, capsys):
    request_of = reader_of(command)
    argv = [*LEADING.get(command, []), *TYPED[command]]
    asked = request_of(argv)
    with pytest.raises(SystemExit) as end:
        request_of([*argv, "--print-config"])
    assert end.value.code == 0
    path = tmp_path / "run.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    again = request_of(["--config", str(path)])
    assert again == asked
    assert again.given == asked.given
