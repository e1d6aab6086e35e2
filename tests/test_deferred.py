"""Names that a package imports when they are first used."""

import sys

import pytest

PACKAGE = """
from autoseg.deferred import deferred_names

__getattr__, __dir__ = deferred_names(__name__, "first", "second")
__all__ = ["one", "two", "three"]
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The folder of a package of two modules; both are forgotten afterwards."""
    folder = tmp_path / "late_names"
    folder.mkdir()
    (folder / "__init__.py").write_text(PACKAGE)
    (folder / "first.py").write_text("one = 1\n")
    (folder / "second.py").write_text("two = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("late_names")]:
        del sys.modules[name]


def test_a_module_is_imported_for_the_name_that_is_used(package):
    import late_names

    assert "late_names.first" not in sys.modules
    assert late_names.one == 1
    assert "late_names.second" not in sys.modules
    assert late_names.two == 2
    assert dir(late_names)[-3:] == ["second", "three", "two"]


def test_a_name_that_is_nowhere_is_said_to_be_missing(package):
    import late_names

    for name in ("three", "four"):
        with pytest.raises(AttributeError, match=f"'late_names' has no attribute '{name}'"):
            getattr(late_names, name)


def test_a_module_that_fails_is_not_taken_for_a_missing_name(package):
    (package / "first.py").write_text("import sys\nsys.no_such_thing\n")
    with pytest.raises(ImportError, match=r"late_names\.first cannot be imported: .*no_such_thing"):
        from late_names import two  # noqa: F401  # behind the module that fails
