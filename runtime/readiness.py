"""Wait for descriptors that are no asyncio streams: pipes of conmon, pidfds, inotify."""

import asyncio


async def readable(descriptor: int) -> None:
    """Wait until there is something to read, or the end. One waiter at a time per descriptor."""
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(descriptor, _settle, ready)
    try:
        await ready
    finally:
        loop.remove_reader(descriptor)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
