"""Iterators that are ended when nobody reads on: a generator holds files and registrations."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def closing_iterator(iterator: AsyncIterator[object]) -> AsyncIterator[None]:
    """End an iterator on leaving; one that is no generator has nothing to end."""
    try:
        yield
    finally:
        close = getattr(iterator, "aclose", None)
        if close is not None:
            await close()
