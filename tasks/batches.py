"""Cut a number of items into slices of bounded size."""

from collections.abc import Iterator


def batches(n: int, size: int) -> Iterator[slice]:
    """Return consecutive slices of at most `size` items that cover `n` items."""
    return (slice(start, min(n, start + size)) for start in range(0, n, size))
