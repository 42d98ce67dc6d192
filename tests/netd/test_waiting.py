import asyncio

from netd.waiting import Waiters


async def test_an_exit_is_told_to_those_who_wait_for_it() -> None:
    waiters = Waiters()
    exit_ = waiters.add("web", "next-exit")
    removal = waiters.add("web", "removed")

    waiters.exited("web", 3)

    assert await exit_ == 3
    assert not asyncio.isfuture(removal) or not removal.done()


async def test_a_removal_ends_every_wait() -> None:
    waiters = Waiters()
    waits = [waiters.add("web", condition) for condition in ("not-running", "removed")]

    waiters.removed("web", 5)

    assert [await wait for wait in waits] == [5, 5]


async def test_a_wait_that_is_given_up_leaves_nothing() -> None:
    waiters = Waiters()
    wait = asyncio.ensure_future(waiters.add("web", "removed"))

    wait.cancel()
    await asyncio.sleep(0)

    assert len(waiters) == 0
