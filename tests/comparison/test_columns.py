"""Every column shows a field that rows have."""

from dataclasses import fields

from autoseg.comparison.columns import CSV_COLUMNS, PROTOCOL_COLUMNS, SCORE_COLUMNS
from autoseg.comparison.rows import ComparisonRow


def test_columns_are_fields_of_the_row():
    names = [field.name for field in fields(ComparisonRow)]
    assert [column.key for column in CSV_COLUMNS] == names
    for column in (*SCORE_COLUMNS, *PROTOCOL_COLUMNS):
        assert column.key in names
        assert column.second_key is None or column.second_key in names
