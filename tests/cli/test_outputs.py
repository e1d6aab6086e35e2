"""Results against inputs and against each other, by name."""

import re
from pathlib import Path

import pytest

from autoseg.cli.outputs import (
    left_out_line,
    refuse_clashes,
    refuse_replaced_input,
    summary_of_failures,
)
from autoseg.errors import UsageError


def test_names_apart_pass(tmp_path):
    outputs = [(tmp_path / "out" / f"{name}.png", tmp_path / f"{name}.jpg") for name in "abc"]
    refuse_clashes(outputs, inputs=[source for _, source in outputs], out=tmp_path / "out")


@pytest.mark.parametrize("result", ["a.png", "A.PNG", "../photos/a.png"])
def test_a_result_over_an_input_is_refused(tmp_path, monkeypatch, result):
    monkeypatch.chdir(tmp_path)
    photos = Path("photos")
    photos.mkdir()
    message = f"the result photos/{result} would replace the input photos/a.png; name another"
    with pytest.raises(UsageError, match=re.escape(message)):
        refuse_clashes([(photos / result, photos / "b.jpg")], inputs=[photos / "a.png"], out=photos)


def test_an_input_behind_a_link_is_seen(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "photos")
    photo = tmp_path / "photos" / "a.png"
    with pytest.raises(UsageError, match="would replace the input"):
        refuse_clashes([(tmp_path / "out" / "a.png", photo)], inputs=[photo], out=tmp_path / "out")


@pytest.mark.parametrize("is_input", [True, False])
@pytest.mark.parametrize(
    "names", [("caf\u00e9.png", "cafe\u0301.png"), ("STRASSE.png", "stra\u00dfe.png")]
)
def test_two_ways_to_write_a_name_are_one(tmp_path, names, is_input):
    """Composed or not, in capitals or not: one name to the disks of other systems."""
    first, second = (tmp_path / name for name in names)
    outputs = (
        [(second, Path("b.jpg"))] if is_input else [(first, Path("a.jpg")), (second, Path("b"))]
    )
    message = "would replace the input" if is_input else "would both write"
    with pytest.raises(UsageError, match=message) as caught:
        refuse_clashes(outputs, inputs=[first] * is_input, out=tmp_path)
    assert "links" not in str(caught.value)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_links_to_one_file_are_one(tmp_path, link):
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    photo.touch()
    out.mkdir()
    link(out / "a.png", photo)
    message = r"out/a\.png would replace the input .*photo\.png \(links to one file, or one"
    with pytest.raises(UsageError, match=message):
        refuse_clashes([(out / "a.png", Path("a.jpg"))], inputs=[photo], out=out)
    link(out / "b.png", photo)
    outputs = [(out / f"{name}.png", Path(f"{name}.jpg")) for name in "ab"]
    message = r"a\.jpg and b\.jpg would both write .*/a\.png and .*/b\.png \(links to one file"
    with pytest.raises(UsageError, match=message):
        refuse_clashes(outputs, inputs=[], out=out)


def test_folders_are_told_apart_as_the_disk_does(tmp_path):
    (tmp_path / "photos").mkdir()
    photo = tmp_path / "photos" / "a.png"
    photo.touch()
    other = tmp_path / "Photos"
    try:
        other.mkdir()
    except FileExistsError:  # one folder here
        with pytest.raises(UsageError, match="would replace the input"):
            refuse_clashes([(other / "a.png", photo)], inputs=[photo], out=other)
    else:
        refuse_clashes([(other / "a.png", photo)], inputs=[photo], out=other)
    # A folder that is still to be made may be either.
    new = [tmp_path / "new" / "x" / "a.png", tmp_path / "NEW" / "x" / "a.png"]
    with pytest.raises(UsageError, match="would both write"):
        refuse_clashes([(path, path) for path in new], inputs=[], out=tmp_path)


def test_two_results_of_one_name_are_refused(tmp_path):
    outputs = [(tmp_path / "b_overlay.png", Path(name)) for name in ("b.jpg", "b_overlay.jpg")]
    with pytest.raises(UsageError, match=r"b\.jpg and b_overlay\.jpg would both write .*rename"):
        refuse_clashes(outputs, inputs=[], out=tmp_path)


def test_a_file_beside_an_input_is_kept(tmp_path):
    (tmp_path / "a.png").touch()
    outputs = [(tmp_path / "a.png", tmp_path / "a.jpg")]
    with pytest.raises(UsageError, match=r"a\.png exists in a folder that holds an input, and w"):
        refuse_clashes(outputs, inputs=[tmp_path / "a.jpg"], out=tmp_path)
    (tmp_path / "a.png").unlink()
    refuse_clashes(outputs, inputs=[tmp_path / "a.jpg"], out=tmp_path)


def test_a_single_result_may_replace_anything_but_an_input(tmp_path):
    for name in ("space.toml", "table.json"):
        (tmp_path / name).touch()
    (tmp_path / "link.json").symlink_to(tmp_path / "space.toml")
    inputs = [tmp_path / "space.toml", Path("no_file")]
    refuse_replaced_input(tmp_path / "table.json", inputs=inputs)
    for name in ("space.toml", "link.json", "SPACE.toml"):
        with pytest.raises(UsageError, match=rf"{name} would replace the input .*space\.toml; n"):
            refuse_replaced_input(tmp_path / name, inputs=inputs)


def test_files_left_out_are_counted_and_the_first_named():
    paths = [Path(f"photos/{number}.txt") for number in range(2000)]
    assert left_out_line(paths) == (
        "left out, no images by their names: 2,000 files (0.txt, 1.txt, 2.txt, 3.txt, 4.txt, 5.txt "
        "and 1,994 more)"
    )


@pytest.mark.parametrize("num_files", [2000, 3000])
def test_of_many_failures_the_first_are_named(num_files):
    failures = [(Path(f"{number}.png"), f"{number}.png is no image") for number in range(2000)]
    begin, *reasons, end = summary_of_failures(failures, num_files=num_files).splitlines()
    assert begin == (
        "none of the 2,000 images could be done."
        if num_files == 2000
        else "2,000 of 3,000 images could not be done; the others were."
    )
    assert reasons == [f"  {number}.png is no image" for number in range(10)]
    assert end == "  and 1,990 more"
    # Ten need no such line.
    assert summary_of_failures(failures[:10], num_files=11).splitlines()[1:] == reasons
