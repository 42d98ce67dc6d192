"""Two things done at one time, each to its end."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")
U = TypeVar("U")


async def together(first: Awaitable[T], second: Awaitable[U]) -> tuple[T, U]:
    """Return what both give; neither is cut short by the other's error.

    One error is raised as it is, two as a group.
    """
    one, other = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException) and isinstance(other, BaseException):
        raise BaseExceptionGroup("both failed", [one, other])
    if isinstance(one, BaseException):
        raise one
    if isinstance(other, BaseException):
        raise other
    return one, other
