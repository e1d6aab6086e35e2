from dataclasses import dataclass

from autoseg.cli.field_docs import field_docs


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """Text of the class, of no field."""

    a: int
    """Text of a,
    on two lines."""
    b: int = 0
    c: int = 1
    """Text of c."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Derived(Base):
    c: int = 2
    """New text of c."""
    d: str = "x"
    """Text of d."""

    def method(self):
        """Text of a method."""


def test_text_under_each_field():
    assert field_docs(Base) == {"a": "Text of a, on two lines.", "c": "Text of c."}


def test_fields_of_bases_and_overridden_text():
    assert field_docs(Derived) == {
        "a": "Text of a, on two lines.",
        "c": "New text of c.",
        "d": "Text of d.",
    }


def test_a_class_without_source_has_no_texts():
    namespace: dict = {"__name__": "nowhere"}
    exec("class Shell:\n    a: int = 0\n    'Text.'\n", namespace)
    assert field_docs(namespace["Shell"]) == {}
