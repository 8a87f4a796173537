"""A table: rows of cells as lines whose columns stand below each other."""

from collections.abc import Iterator, Sequence


def table(rows: Sequence[Sequence[str]], indent: str = "") -> Iterator[str]:
    """A line for each row; the last cell may be as long as it likes."""
    columns = max(map(len, rows), default=0)
    widths = [max((len(row[at]) for row in rows if at < len(row) - 1), default=0) for at in range(columns)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row[:-1], widths, strict=False)]
        yield f"{indent}{'  '.join([*cells, *row[-1:]])}".rstrip()
