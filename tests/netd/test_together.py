import asyncio

import pytest

from netd.together import together


async def failing(message: str) -> None:
    raise ValueError(message)


async def test_both_run_at_one_time() -> None:
    began = asyncio.Event()

    async def first() -> int:
        await began.wait()
        return 1

    async def second() -> str:
        began.set()
        return "two"

    assert await together(first(), second()) == (1, "two")


async def test_one_that_fails_does_not_cut_the_other_short() -> None:
    done = []

    async def slow() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        done.append("slow")

    with pytest.raises(ValueError, match="broken"):
        await together(failing("broken"), slow())

    assert done == ["slow"]


async def test_two_errors_are_told_together() -> None:
    with pytest.raises(ExceptionGroup) as told:
        await together(failing("one"), failing("two"))

    assert [str(error) for error in told.value.exceptions] == ["one", "two"]
