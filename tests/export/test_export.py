"""`python -m autoseg.export`: every form gives what the network gives, and says what it is."""

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import autoseg
from autoseg import predict
from autoseg.config.crf import CRF_FIELDS
from autoseg.crf import CRFConfig
from autoseg.crf import __main__ as crf
from autoseg.data.labels import read_labels
from autoseg.errors import UsageError
from autoseg.export import __main__ as export
from autoseg.export import model_card, origin_of
from autoseg.export.agreement import DisagreementError, random_batches, require_agreement
from autoseg.export.graph import SegmentationGraph
from autoseg.normalisation import IMAGENET, usual_normalisation
from autoseg.runs import load_record
from autoseg.trained import RetrainedNetwork
from autoseg.tuning.record import TUNING_FORMAT, TUNING_FORMAT_VERSION
from tests.trained.random_run import make_run

ROOT = Path(__file__).parents[2]
NETWORK = "unet"  # converted fastest, and pads images whose sides are no multiples of 16

TUNED = CRFConfig(num_iterations=3, bilateral_weight=2.0, bilateral_rgb_std=90.0)
"""Parameters of a CRF that were tuned for the network."""

FORMATS = ("onnx", "onnx-int8", "safetensors", "torch-export", "torchscript")

# torch's exporters use what torch itself has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

WITHOUT_TORCH = """
import runpy, sys
sys.modules.update(torch=None, autoseg=None)  # to import either is an ImportError now
sys.argv[:] = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Export a network in two forms, and segment a photograph by it."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder = tmp_path_factory.mktemp("exported")
    make_run(folder / "run", network=NETWORK)
    weights = RetrainedNetwork.open(folder / "run").weights_sha256("best")
    tuned = {
        "format": TUNING_FORMAT,
        "format_version": TUNING_FORMAT_VERSION,
        "split": "train",
        "parameters": asdict(TUNED),
        "use_crf": True,
        "mean_iou_change": 0.01,
        "num_images": 7,
        "num_trials": 30,
        "num_trials_asked": 30,
        "finished": True,
        "weights_sha256": weights,
    }
    (folder / "run/crf.json").write_text(json.dumps(tuned))
    pixels = np.random.default_rng(0).integers(256, size=(75, 110, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "photo.png")
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        export.main([str(folder / "run"), "--licence", "CC0-1.0", "--format", *FORMATS])
    # What takes long is said once, before it begins.
    first, *others = said.getvalue().splitlines()
    assert first.startswith("export: recording the graph of unet; each form")
    counted = [line for line in others if line.startswith("export: ranges of int8: ")]
    assert counted[-1].startswith("export: ranges of int8: 8/8 images")
    assert [line.split(": ")[1] for line in others if line not in counted] == [
        f"unet{e}" for e in (".onnx", "-int8.onnx", ".pt2", ".torchscript")
    ]
    return folder


def test_onnx_runs_without_torch_and_gives_the_same_mask(exported):
    model, photo, mask = (
        exported / "run/export/unet.onnx",
        exported / "photo.png",
        exported / "mask.png",
    )
    script = ROOT / "examples/predict_onnx.py"
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, script, model, photo, mask],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = autoseg.load(exported / "run").predict(photo)
    file = read_labels(mask)
    assert (file.labels == expected.labels).mean() > 0.999
    assert file.palette is not None
    np.testing.assert_array_equal(file.palette[:4], expected.palette)
    assert done.stdout.strip().split(", ") == [
        expected.class_names[number] for number in np.unique(file.labels)
    ]


def test_any_number_and_size_of_images_is_segmented(exported):
    import onnxruntime

    folder = exported / "run/export"
    session = onnxruntime.InferenceSession(folder / "unet.onnx")
    (images,) = session.get_inputs()
    assert (images.name, images.type) == ("images", "tensor(uint8)")
    assert images.shape == ["batch", "height", "width", 3]
    archive = torch.export.load(folder / "unet.pt2").module()
    script = torch.jit.load(folder / "unet.torchscript")
    model = autoseg.load(folder / "unet.safetensors")
    generator = np.random.default_rng(1)
    # The second has sides that U-Net does not pad.
    for shape in ((1, 64, 49, 3), (2, 32, 128, 3), (5, 40, 41, 3)):
        pixels = generator.integers(256, size=shape, dtype=np.uint8)
        expected = model.logits(torch.from_numpy(pixels).permute(0, 3, 1, 2)).numpy()
        with torch.inference_mode():
            from_torch = [form(torch.from_numpy(pixels)) for form in (archive, script)]
        given = [session.run(["logits", "labels"], {"images": pixels}), *from_torch]
        for logits, labels in given:
            logits, labels = np.asarray(logits), np.asarray(labels)
            assert np.linalg.norm(logits - expected) < 1e-4 * np.linalg.norm(expected)
            np.testing.assert_array_equal(labels, logits.argmax(axis=1))


def test_the_file_says_what_it_is(exported):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported / "run/export/unet.onnx")
    about = session.get_modelmeta().custom_metadata_map
    assert json.loads(about["class_names"]) == [f"class {number}" for number in range(4)]
    assert json.loads(about["palette"])[1] == [40, 10, 20]
    assert json.loads(about["image_scale"]) == 1.0
    assert json.loads(about["origin"])["dataset"] == "synthetic"
    script = {"autoseg.json": ""}
    torch.jit.load(exported / "run/export/unet.torchscript", _extra_files=script)
    assert json.loads(script["autoseg.json"]) == about
    for ending in (".onnx", "-int8.onnx"):
        content = (exported / f"run/export/unet{ending}").read_bytes()
        assert str(ROOT).encode() not in content  # the folders of whoever exported it
        assert b" at 0x" not in content  # addresses: another file each time
    card = (exported / "run/export/unet.md").read_text(encoding="utf-8")
    assert "- licence of the weights: CC0-1.0" in card
    assert 'autoseg.load("unet.safetensors")' in card
    assert "Held against the network when it was written: logits differ by" in card


def test_int8_is_smaller_and_nearly_the_network(exported):
    import onnxruntime

    whole, path = (exported / f"run/export/unet{end}" for end in (".onnx", "-int8.onnx"))
    assert path.stat().st_size < 0.4 * whole.stat().st_size  # a quarter of the weights' bytes
    session = onnxruntime.InferenceSession(path)
    about = session.get_modelmeta().custom_metadata_map
    # The run's training split has eight images, fewer than were asked for.
    assert about.pop("quantisation") == "int8; ranges by 8 images of the training split"
    assert about == onnxruntime.InferenceSession(whole).get_modelmeta().custom_metadata_map
    card = (exported / "run/export/unet.md").read_text(encoding="utf-8")
    assert "Ranges are those of 8 images of the training split. Held against the network on" in card
    model, val = autoseg.load(exported / "run"), RetrainedNetwork.open(exported / "run")
    pixels = val.dataset("val")[1].image[None]  # one that it was not held against
    expected = model.logits(pixels).numpy()
    logits, labels = session.run(
        ["logits", "labels"], {"images": pixels.permute(0, 2, 3, 1).numpy()}
    )
    assert 1e-3 < np.linalg.norm(logits - expected) / np.linalg.norm(expected) < 0.2
    np.testing.assert_array_equal(labels, logits.argmax(axis=1))


def test_images_of_other_channels_set_no_ranges(tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    grey = make_run(tmp_path / "run", network=NETWORK, normalisation=usual_normalisation(1))
    rule = r"^--format onnx-int8: the images of synthetic have 3 .* reads 1; .* by --data-root\.$"
    with pytest.raises(UsageError, match=rule):
        export.main([str(grey), "--format", "onnx-int8"])


def test_a_crf_behind_the_graph_gives_what_predict_gives(exported, monkeypatch, capsys):
    import onnxruntime

    session = onnxruntime.InferenceSession(exported / "run/export/unet.onnx")
    tuned = json.loads(session.get_modelmeta().custom_metadata_map["crf"])
    assert CRFConfig(**tuned) == TUNED
    monkeypatch.chdir(exported)
    pixels = np.asarray(Image.open("photo.png").convert("RGB"))
    (logits,) = session.run(["logits"], {"images": pixels[None]})
    np.save("logits.npy", logits[0])
    # A tuning moves what the command line can say, and no other parameter.
    words = [f"--{name.replace('_', '-')}={tuned[name]}" for name in CRF_FIELDS if name in tuned]
    crf.main(["photo.png", "logits.npy", "--logits", "--no-picture", "--out", "second", *words])
    predict.main(["run", "photo.png", "--crf", "--out", "first"])  # by the run's crf.json
    first, second = (read_labels(Path(each, "photo.png")).labels for each in ("first", "second"))
    assert (first == second).mean() > 0.999
    assert (second != logits[0].argmax(0)).mean() > 0.01  # it does something


def test_a_card_escapes_names_and_says_how_the_score_was_chosen(tmp_path):
    trained = RetrainedNetwork.open(make_run(tmp_path / "run"))
    description = replace(trained.description, class_names=("<b>a|b", "b", "c", "d"))
    record = load_record(tmp_path / "run")
    record["results"] = {"best_step": 5, "best_val_miou": 0.25}
    card = model_card(
        description,
        origin=origin_of(record, weights="best"),
        files={},
        licence=None,
    )
    assert r"| 0 | \<b\>a\|b | 0 10 20 |" in card
    assert "reached 25.00 % mIoU on the val split. They are those of the best validation" in card
    assert "licence of the weights: not stated" in card


def test_what_differs_is_refused():
    network = torch.nn.Conv2d(3, 4, 1).eval()
    graph = SegmentationGraph(network, normalisation=IMAGENET, image_scale=1.0)

    def run(images):
        with torch.inference_mode():
            logits, labels = graph(torch.from_numpy(images))
        return (1.001 * logits).numpy(), labels.numpy()

    with pytest.raises(DisagreementError, match=r"^ONNX: on images \(1, 161, 97, 3\) the logits"):
        require_agreement(run, graph, form="ONNX", batches=random_batches(3, 1.0))


def test_a_crf_layer_has_no_graph_and_is_told_what_has(tmp_path):
    folder = make_run(tmp_path / "run", crf_layer=True)
    arguments = [str(folder), "--out", str(tmp_path / "out"), "--format"]
    with pytest.raises(UsageError, match=r"CRF layer .* has no exported form: .* safetensors"):
        export.main([*arguments, "torch-export"])
    assert not list((tmp_path / "out").iterdir())
    export.main([*arguments, "safetensors"])
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        *("segnet_basic+crf.md", "segnet_basic+crf.safetensors")
    ]
