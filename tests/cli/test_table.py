"""A table: columns that stand below each other."""

from proxy.cli.table import table


def test_columns_are_as_wide_as_they_must_be() -> None:
    """Each is as wide as its widest cell; the last one is free, and no line ends with blanks."""
    rows = [("a", "1", "a long last cell"), ("bcd", "", ""), ("", "23", "x")]
    assert list(table(rows, "> ")) == ["> a    1   a long last cell", "> bcd", ">      23  x"]


def test_rows_may_differ_in_length() -> None:
    """A short row's last cell counts for no column."""
    assert list(table([("a", "b"), ("a very long one",), ("c", "d", "e")])) == ["a  b", "a very long one", "c  d  e"]
    assert list(table([])) == []
