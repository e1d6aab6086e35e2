"""The web page gives in a browser what the network gives in torch."""

import os
import shutil
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from PIL import Image

import autoseg
from autoseg.export import __main__ as export
from tests.browser import CHROMIUM, WITHOUT_CHROMIUM, chromium
from tests.trained.random_run import make_run

WEB = Path(__file__).parents[2] / "examples/web"
PACKAGE = os.environ.get("AUTOSEG_ONNXRUNTIME_WEB")
"""Folder of the npm package onnxruntime-web, for example node_modules/onnxruntime-web."""

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT_CHROMIUM),
    pytest.mark.skipif(
        PACKAGE is None,
        reason="needs npm install onnxruntime-web, and AUTOSEG_ONNXRUNTIME_WEB=its folder",
    ),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning"),
]

SETTLED = """new Promise((resolve) => {
  const state = document.getElementById("state");
  const look = () => state.textContent.endsWith("...") ? setTimeout(look, 20)
    : resolve(state.textContent);
  look();
})"""
"""Waits until the page has finished, and returns what it says."""

COLOURS = """(() => {
  const strength = document.getElementById("strength");
  strength.value = 100;
  strength.dispatchEvent(new Event("input"));
  const canvas = document.getElementById("picture");
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return [canvas.height, canvas.width, [...data]];
})()"""
"""Draws the classes alone, and returns height, width and RGBA of what is seen."""

LEGEND = "[...document.querySelectorAll('#legend li')].map((item) => item.textContent)"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture
def site(tmp_path):
    """A server of the page, without its package; yields its folder and address."""
    ignore = shutil.ignore_patterns("node_modules")
    folder = shutil.copytree(WEB, tmp_path / "web", ignore=ignore)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    Thread(target=server.serve_forever).start()
    yield folder, f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def photo(path):
    """Write an image with large shapes, so that several classes come out, and sides unlike."""
    rows, columns = np.mgrid[:75, :110] / 20
    waves = np.stack([np.sin(rows), np.cos(columns), np.sin(rows + columns)], axis=-1)
    Image.fromarray((127.5 + 127.5 * waves).astype(np.uint8)).save(path)
    return path


@pytest.mark.parametrize("form", ["onnx", "onnx-int8"])
def test_the_page_gives_the_networks_labels_and_names(tmp_path, site, form):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    folder, address = site
    packages = folder / "node_modules"
    run, image = make_run(tmp_path / "run", network="unet"), photo(tmp_path / "photo.png")
    export.main([str(run), "--format", form])
    (model,) = (run / "export").glob("*.onnx")
    expected = autoseg.load(run).predict(image)
    labels, palette = expected.labels, np.array(expected.palette)
    if form == "onnx-int8":  # another network by its rounding, as it runs outside of a browser
        pixels = np.asarray(Image.open(image).convert("RGB"))[None]
        (batch,) = onnxruntime.InferenceSession(model).run(["labels"], {"images": pixels})
        assert (batch[0] != labels).any()
        labels = batch[0]
    present, counts = np.unique(labels, return_counts=True)
    assert len(present) > 1
    with chromium(tmp_path / "profile") as browser:
        browser.open(address)
        assert "npm install onnxruntime-web in this folder" in browser.run(SETTLED)
        packages.symlink_to(Path(PACKAGE).resolve().parent)
        browser.open(address)
        assert browser.run(SETTLED) == "Choose a network and an image."
        browser.choose("#image", image)
        assert browser.run(SETTLED) == "Choose a network."
        browser.choose("#model", model)
        assert browser.run(SETTLED).startswith("110 x 75 pixels in ")
        browser.screenshot(tmp_path / "page.png")
        height, width, colours = browser.run(COLOURS)
        legend = browser.run(LEGEND)
        browser.choose("#model", image)
        assert browser.run(SETTLED).startswith("This does not work: ")
        assert all(each.startswith((address, "data:", "blob:")) for each in browser.requests)
        assert not browser.problems
    seen = np.array(colours).reshape(height, width, 4)[..., :3]
    # Two classes may be equally likely within rounding.
    assert (seen == palette[labels]).all(axis=-1).mean() > 0.999
    largest = present[counts.argmax()]
    assert legend[0].startswith(f"{expected.class_names[largest]}, ")
    assert len(legend) == len(present)
