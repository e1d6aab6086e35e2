"""The report in a browser: it sorts, filters and draws, and asks the network for nothing."""

import base64
import io
import re
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from autoseg.comparison.documents import Comparison
from autoseg.comparison.evidence import Evidence, TrueScene
from autoseg.comparison.grouping import group_networks
from autoseg.comparison.report import comparison_page
from autoseg.reporting.figure import BLACK, COLOURS
from tests.browser import CHROMIUM, WITHOUT_CHROMIUM, chromium
from tests.comparison.rows import network
from tests.foreign_names import NAMES

PALETTE = np.array([[128, 64, 128], [0, 0, 255]], np.uint8)
TARGET = np.array([[0, 1, 255], [1, 0, 0]])


def shown(pred):
    return Evidence(image_overlaps=np.ones((2, 2, 2), np.int64), shown=(np.array(pred),))


def scene():
    return TrueScene(
        name="a street",
        image=np.full((2, 3, 3), 90, np.uint8),
        target=TARGET,
        palette=PALETTE,
        ignore_index=255,
        attribution="Photograph: somebody.",
    )


def comparison():
    first = network(label="searched", miou=0.5, crf_miou=0.48, latency_median_ms=4.0)
    first = replace(
        first,
        evidence=(shown([[0, 1, 1], [1, 1, 0]]), shown([[0, 0, 0], [0, 0, 0]])),
        scenes=(scene(),),
    )
    others = [
        network(label="icnet", miou=0.4, macs=10**9, total_latency_median_ms=2.0, memory_mib=90.0),
        network(label=NAMES[6], miou=0.1, total_latency_median_ms=8.0, run="runs/x"),
        network(label="untrained", miou=None, class_iou=None, run=None),
    ]
    return Comparison(
        groups=tuple(group_networks([first, *others])),
        left_out=(),
        protocol={"Command": "python -m autoseg.compare", "Device": "cpu, some processor"},
    )


def test_pictures_have_the_colours_of_the_classes():
    page = comparison_page(comparison())
    pictures = re.findall(r'src="data:image/(png|jpeg);base64,([^"]+)" alt="([^"]+)"', page)
    names = ["image", "truth", "searched", "searched + CRF"]
    assert [alt for _, _, alt in pictures] == [f"a street: {name}" for name in names]
    truth = np.array(Image.open(io.BytesIO(base64.b64decode(pictures[1][1]))).convert("RGB"))
    expected = PALETTE[np.where(TARGET == 255, 0, TARGET)]
    expected[TARGET == 255] = 0  # void is black, which no class is
    assert (truth == expected).all()
    legend = re.findall(r'background-color: (#\w+)"></span>([^<]+)<', page)
    assert legend == [("#804080", "road"), ("#0000ff", "sky"), ("#000000", "no label")]
    assert "Photograph: somebody." in page and "evenly spread over those that were scored" in page


def test_the_machine_stands_beside_the_numbers():
    page = comparison_page(comparison())
    assert "Device: cpu, some processor." in page[: page.index("<table")]
    assert len(page.encode()) < 100_000  # of a few networks, pictures included


def test_stages_are_stacked_and_their_spread_is_drawn():
    page = comparison_page(comparison())
    words = re.findall(r'<svg viewBox="0 0 260 22" role="img" aria-label="([^"]+)"', page)
    assert words[0] == "network 9 ms, resizing, argmax 1.25 ms, the whole 9 to 12.5 ms"
    assert words[1] == "network 9 ms, resizing, argmax 1.25 ms, CRF 50 ms, the whole 9 to 12.5 ms"
    assert len(words) == 5


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason=WITHOUT_CHROMIUM)


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    (folder / "report.html").write_text(comparison_page(comparison()), encoding="utf-8")
    with chromium(folder / "profile") as browser:
        yield browser, (folder / "report.html").as_uri()


ROWS = "[...document.querySelectorAll('table.rows tbody tr')].filter(row => !row.hidden)"
CLICK = "document.querySelectorAll('table.rows thead button')[{}].click()"


LIGHT = """
  const channel = (c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const light = (colour) => {
    const scale = colour.startsWith("color(") ? 1 : 255;
    const [r, g, b] = colour.match(/[0-9.]+/g).map((c) => channel(Number(c) / scale));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b + 0.05;
  };
"""
"""How light a colour is, by WCAG 2.2: that of rgb(...) and of color(srgb ...)."""


@needs_chromium
def test_it_sorts_and_filters_and_the_address_keeps_it(opened):
    browser, address = opened
    browser.open(address)
    order = f"{ROWS}.map(row => row.cells[0].textContent.trim() + row.cells[1].textContent)"
    assert browser.run(order)[:3] == ["searchedno", "searchedyes", "icnetno"]
    column = browser.run(
        "[...document.querySelectorAll('table.rows thead th')]"
        ".findIndex(head => head.textContent.startsWith('of both'))"
    )
    browser.run(CLICK.format(column))
    assert browser.run(order)[0] == "searchedyes"  # 61 ms
    browser.run(CLICK.format(column))
    assert browser.run(order)[0] == "icnetno"  # 2 ms
    browser.run(CLICK.format(2))  # mIoU: what is missing stands last, in either direction
    assert [browser.run(order)[0], browser.run(order)[-1]] == ["searchedno", "untrainedno"]
    browser.run(CLICK.format(2))
    assert browser.run(order)[-1] == "untrainedno"
    assert browser.run("document.querySelectorAll('[aria-sort]').length") == 1
    ascending = browser.run(order)
    browser.open(browser.run("location.href"))
    assert browser.run(order) == ascending
    assert browser.run("document.querySelectorAll('.drawn button').length") == 0
    # The column of drawings has no order; those beside it keep their own.
    buttons = "[...document.querySelectorAll('table:has(td.drawn) thead button')]"
    browser.run(f"{buttons}.find(each => each.textContent.startsWith('Total')).click()")
    stages = "[...document.querySelectorAll('table:has(td.drawn) tbody tr')]"
    names = browser.run(f"{stages}.map(row => row.cells[0].textContent)")
    assert [names[0], names[-1]] == ["searched + CRF", "icnet"]  # 61 and 2 ms

    browser.run(
        "{const input = document.querySelector('input[type=search]'); input.value = 'icnet NO';"
        " input.dispatchEvent(new Event('input'))}"
    )
    assert browser.run(order) == ["icnetno"]
    assert browser.run("document.querySelector('output').textContent") == "1 of 5 rows"
    assert browser.run("document.querySelectorAll('.chart svg a').length") == 1
    kept = browser.run("location.href")
    browser.open(kept)
    assert browser.run(order) == ["icnetno"]
    assert browser.problems == [] and browser.requests == [kept]


@needs_chromium
def test_the_chart_draws_what_was_chosen_and_leads_to_the_row(opened):
    browser, address = opened
    browser.open(address)
    labels = browser.run(
        "[...document.querySelectorAll('.chart svg a')].map(a => a.getAttribute('aria-label'))"
    )
    assert len(labels) == 4  # what has no mIoU has no place
    assert labels[0].startswith("searched; mIoU (%): 50; Latency, median (ms): 10; MACs (G): 2;")
    assert any(label.startswith(NAMES[6]) for label in labels)
    # The front: icnet at 2 ms, then searched at 10 ms; as many steps as points.
    front = "document.querySelector('.chart .front').getAttribute('d').match(/V/g).length"
    assert browser.run(front) == 2
    browser.run(
        "{const [y, x] = document.querySelectorAll('.chart select'); x.value = 'params';"
        " x.dispatchEvent(new Event('change')); y.value = 'memory';"
        " y.dispatchEvent(new Event('change'))}"
    )
    assert browser.run("document.querySelectorAll('.chart svg a').length") == 5
    assert "g1.x=params" in browser.run("location.search")
    browser.run("document.querySelector('.chart svg a').focus()")
    assert browser.run("document.querySelector('.tip').textContent").startswith("searched\n")
    browser.run("document.querySelector('.chart svg a').dispatchEvent(new MouseEvent('click'))")
    assert browser.run("document.querySelector('tr:target').id") == "g1-r1"
    assert browser.run("document.querySelectorAll('b').length") == 0  # no name became markup
    name = "document.querySelector('table.rows th a')"
    browser.run(f"{name}.textContent = 'icnet_resnet50 x0.125 (eager, bfloat16)'")
    assert browser.run(f"{name}.getBoundingClientRect().height") < 30  # a line has 20
    assert browser.problems == [] and len(browser.requests) == 1


MARKS = """(() => {
  document.querySelector(".chart").scrollIntoView();
  return [...document.querySelectorAll(".chart .mark")].map((mark) => {
    const box = mark.getBoundingClientRect();
    return [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  });
})()"""
"""Brings the chart into view, and returns where its points lie in the window."""
SHOWN_COLOURS = ["currentColor" if colour == BLACK else colour for colour in COLOURS]
SHOWN = f"{ROWS}.map(row => row.id)"


@needs_chromium
def test_the_mouse_over_a_point_shows_its_numbers_and_its_row(opened):
    browser, address = opened
    browser.open(address)
    marks, tip = browser.run(MARKS), "document.querySelector('.tip')"
    chosen = "[...document.querySelectorAll('tr.chosen')].map(row => row.id)"
    for mark, name, row in ((marks[2], "icnet", "g1-r3"), (marks[0], "searched", "g1-r1")):
        browser.point_at(*mark)
        assert browser.run(f"{tip}.checkVisibility() && {tip}.textContent").startswith(f"{name}\n")
        assert browser.run(chosen) == [row]
    browser.point_at(1, 1)
    assert not browser.run(f"{tip}.checkVisibility()") and browser.run(chosen) == []


@needs_chromium
def test_a_rectangle_over_points_keeps_their_rows_alone(opened):
    browser, address = opened
    browser.open(address)
    # The points: searched at 10 ms and 50 %, its CRF, icnet, and a fourth far below them.
    marks = browser.run(MARKS)
    assert len(marks) == 4
    (x0, y0), (x2, y2) = marks[0], marks[2]
    assert marks[3][1] > max(y0, y2) + 15
    browser.drag((min(x0, x2) - 12, min(y0, y2) - 12), (max(x0, x2) + 12, max(y0, y2) + 12))
    assert browser.run(SHOWN) == ["g1-r1", "g1-r3"]
    assert len(browser.run(MARKS)) == 2
    assert browser.run("document.querySelector('output').textContent") == "2 of 5 rows"
    assert "g1.out=2.4.5" in browser.run("location.search")
    kept = browser.run("location.href")
    browser.open(kept)
    assert browser.run(SHOWN) == ["g1-r1", "g1-r3"]
    browser.run("document.querySelector('.chart button').click()")
    assert len(browser.run(SHOWN)) == 5 and browser.run("location.search") == ""
    assert browser.run("document.querySelector('.chart button').hidden")
    browser.drag((x0 + 30, y0 + 90), (x0 + 32, y0 + 92))  # a click, and nothing lies there
    assert len(browser.run(SHOWN)) == 5 and not browser.problems


@needs_chromium
def test_points_are_left_out_one_by_one_by_key_or_click(opened):
    browser, address = opened
    browser.open(address)
    browser.run("document.querySelectorAll('.chart svg a')[1].focus()")
    browser.press("Delete")
    assert browser.run(SHOWN) == ["g1-r1", "g1-r3", "g1-r4", "g1-r5"]
    focused = "document.activeElement.getAttribute('aria-label').slice(0, 5)"
    assert browser.run(focused) == "icnet"  # the next one, so that Delete goes on
    browser.click(*browser.run(MARKS)[0], shift=True)
    assert browser.run(SHOWN) == ["g1-r3", "g1-r4", "g1-r5"]
    assert browser.run("location.hash") == ""
    browser.click(*browser.run(MARKS)[0])
    assert browser.run("location.hash") == "#g1-r3"
    browser.open(address + "?g1.out=1.2.3.4.5")  # of an address that leaves nothing, nothing
    assert len(browser.run(SHOWN)) == 5
    browser.open(address + "?g1.out=1.2.3.4")
    browser.press("Delete")
    assert browser.run(SHOWN) == ["g1-r5"] and not browser.problems


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_the_edge_of_every_point_stands_out(opened, dark):
    browser, address = opened
    browser.open(address, dark=dark)
    edges = browser.run(
        f"""(() => {{ {LIGHT}
          const page = light(getComputedStyle(document.body).backgroundColor);
          const svg = document.querySelector(".chart svg");
          return {SHOWN_COLOURS}.map((colour) => {{
            const mark = svg.querySelector(".mark");
            const mixed = mark.style.stroke;
            mark.style.stroke = mixed.replace(/#[0-9A-F]+|currentcolor|rgb[^)]*[)]/i, colour);
            const edge = light(getComputedStyle(mark).stroke);
            return Math.max(edge, page) / Math.min(edge, page);
          }});
        }})()"""
    )
    assert len(edges) == len(SHOWN_COLOURS) and min(edges) >= 3  # WCAG 2.2, 1.4.11


@needs_chromium
def test_two_pictures_lie_under_one_slider(opened):
    browser, address = opened
    browser.open(address)
    alts = "[...document.querySelectorAll('.stage img')].map(image => image.alt)"
    assert browser.run(alts) == ["Left: a street: searched", "Right: a street: searched + CRF"]
    browser.run(
        "{const range = document.querySelector('input[type=range]'); range.value = 20;"
        " range.dispatchEvent(new Event('input'));"
        " const left = document.querySelector('.scene select'); left.value = 1;"
        " left.dispatchEvent(new Event('change'))}"
    )
    assert browser.run(alts)[0] == "Left: a street: truth"
    cut = browser.run("getComputedStyle(document.querySelector('.stage .over')).clipPath")
    assert cut == "inset(0px 0px 0px 20%)"
    assert browser.problems == [] and len(browser.requests) == 1


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_it_fits_a_phone_and_can_be_read_in_either_theme(opened, dark):
    browser, address = opened
    browser.open(address, width=390, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") == 390
    contrast = f"""(() => {{ {LIGHT}
      const page = light(getComputedStyle(document.body).backgroundColor);
      return ["h2", "p.shared", "td", "figcaption", "a", "dd"].map((name) => {{
        const ink = light(getComputedStyle(document.querySelector(name)).color);
        return Math.max(ink, page) / Math.min(ink, page);
      }});
    }})()"""
    assert min(browser.run(contrast)) >= 4.5  # WCAG 2.2, 1.4.3
    assert (browser.run("getComputedStyle(document.body).backgroundColor") < "rgb(200") is dark
    assert browser.problems == []


@needs_chromium
def test_a_printed_page_cuts_no_table(opened):
    browser, address = opened
    browser.open(address, width=794, dark=True)  # A4 at 96 dots an inch
    browser.send("Emulation.setEmulatedMedia", media="print")
    tables = "[...document.querySelectorAll('table')]"
    assert browser.run(f"Math.max(...{tables}.map(t => t.getBoundingClientRect().right))") <= 794
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.run("getComputedStyle(document.querySelector('.controls')).display") == "none"
    browser.send("Emulation.setEmulatedMedia", media="")
