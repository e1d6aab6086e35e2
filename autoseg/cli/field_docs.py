"""The text under each field of a dataclass, which Python itself forgets."""

import ast
import inspect
import textwrap
from functools import cache


def field_docs(config_type: type) -> dict[str, str]:
    """Read the string literal that follows each field in the class's source.

    Args:
        config_type: A dataclass; fields of its bases are read too.

    Returns:
        One line of text by field name; fields without one, and classes without source, are absent.
    """
    docs: dict[str, str] = {}
    for base in reversed(config_type.__mro__[:-1]):
        docs |= _own_docs(base)
    return docs


@cache  # Python parses a whole file to find a class in it
def _own_docs(config_type: type) -> dict[str, str]:
    try:
        source = textwrap.dedent(inspect.getsource(config_type))
    except (OSError, TypeError):  # defined in a shell, or built in
        return {}
    definition = ast.parse(source).body[0]
    if not isinstance(definition, ast.ClassDef):
        return {}
    return {
        statement.target.id: " ".join(following.value.value.split())
        for statement, following in zip(definition.body, definition.body[1:], strict=False)
        if isinstance(statement, ast.AnnAssign)
        and isinstance(statement.target, ast.Name)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        and isinstance(following.value.value, str)
    }
