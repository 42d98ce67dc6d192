import asyncio
import time

from netd.events import KEPT, QUEUED, Events


async def collected(events: Events, **window: int) -> list[str]:
    return [event.id async for event in events.stream(**window)]


async def test_past_events_are_told_within_the_window() -> None:
    events = Events()
    for id_ in "abc":
        events.publish("network", "create", id_, {})

    assert await collected(events, since_ns=0, until_ns=time.time_ns()) == ["a", "b", "c"]
    assert await collected(events, since_ns=time.time_ns(), until_ns=time.time_ns()) == []


async def test_a_listener_hears_what_comes_after_it() -> None:
    events = Events()
    stream = events.stream()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)

    events.publish("network", "create", "a", {"name": "front"})

    assert (await first).attributes == {"name": "front"}
    await stream.aclose()
    assert events.listeners == 0


async def test_a_listener_that_does_not_read_is_cut_off() -> None:
    events = Events()
    stream = events.stream()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)

    for number in range(QUEUED + 10):
        events.publish("network", "create", str(number), {})
    await first
    rest = [event async for event in stream]

    assert len(rest) < QUEUED
    assert events.listeners == 0


async def test_only_so_many_past_events_are_kept() -> None:
    events = Events()
    for number in range(KEPT + 5):
        events.publish("network", "create", str(number), {})

    kept = await collected(events, since_ns=0, until_ns=time.time_ns())

    assert (len(kept), kept[0]) == (KEPT, "5")
