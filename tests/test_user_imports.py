"""What `--import` runs, once, and what it refuses."""

import sys

import pytest

from autoseg import user_imports
from autoseg.errors import FileError, UsageError
from autoseg.user_imports import import_for_user, imported


@pytest.fixture(autouse=True)
def own_list(monkeypatch):
    """Begin with nothing imported, and leave no module behind."""
    before = set(sys.modules)
    monkeypatch.setattr(user_imports, "_imported", [])
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_runs_once_and_again_when_it_has_changed(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("print('one', __name__.endswith('_mine'))")
    for word in ("mine.py", str(tmp_path / "mine.py"), "mine.py"):
        import_for_user(word)
    assert capsys.readouterr().out == "one True\n"
    ((word, module, first),) = imported()
    assert word == "mine.py" and module in sys.modules
    (tmp_path / "mine.py").write_text("print('two')")
    import_for_user("mine.py")
    assert capsys.readouterr().out == "two\n"
    ((_, _, second),) = imported()
    assert first != second
    # Another file of the same name is another module.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.py").write_text("print('three')")
    import_for_user("other/mine.py")
    assert capsys.readouterr().out == "three\n"
    assert len(imported()) == 2


def test_a_module_is_imported_by_its_name(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").touch()
    (tmp_path / "my_package" / "operations.py").write_text("answer = 42")
    import_for_user("my_package.operations")
    assert sys.modules["my_package.operations"].answer == 42
    assert imported() == (("my_package.operations", "my_package.operations", None),)


@pytest.mark.parametrize(
    ("word", "error", "message"),
    [
        ("absent.py", UsageError, "--import absent.py: there is no such file"),
        ("absent_module", UsageError, "--import absent_module: Python finds no module"),
        ("absent_package.part", UsageError, "Python finds no module of this name"),
        ("my ops", UsageError, "--import 'my ops': it must be a file that ends in .py, or the"),
        ("../x", UsageError, "it must be a file that ends in .py"),
        (
            "wrong.py",
            FileError,
            r"^wrong.py is not Python that runs: name 'nn' is not defined; AUTO",
        ),
        ("bad.py", FileError, r"^bad.py is not Python that runs: '\(' was never closed"),
    ],
)
def test_what_cannot_be_imported_is_said(tmp_path, monkeypatch, word, error, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.py").write_text("nn.Module")
    (tmp_path / "bad.py").write_text("print(")
    with pytest.raises(error, match=message):
        import_for_user(word)
    assert imported() == ()
