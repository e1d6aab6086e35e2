"""The text under each field of a dataclass, which Python itself forgets."""

import ast
import inspect
import textwrap


def field_docs(config_type: type) -> dict[str, str]:
    """Read the string literal that follows each field in the class's source.

    Args:
        config_type: A dataclass; fields of its bases are read too.

    Returns:
        One line of text by field name; fields without one, and classes without source, are absent.
    """
    docs: dict[str, str] = {}
    for base in reversed(config_type.__mro__[:-1]):
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError):  # defined in a shell, or built in
            continue
        definition = ast.parse(source).body[0]
        if not isinstance(definition, ast.ClassDef):
            continue
        for statement, following in zip(definition.body, definition.body[1:], strict=False):
            if (
                isinstance(statement, ast.AnnAssign)
                and isinstance(statement.target, ast.Name)
                and isinstance(following, ast.Expr)
                and isinstance(following.value, ast.Constant)
                and isinstance(following.value.value, str)
            ):
                docs[statement.target.id] = " ".join(following.value.value.split())
    return docs
