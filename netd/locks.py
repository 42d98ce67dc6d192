"""One lock for each container: its verbs follow one another, those of different ones do not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Locks:
    """Locks by container id; one that nobody holds or awaits takes no room."""

    def __init__(self) -> None:
        self._locks: dict[str, asyncio.Lock] = {}
        self._users: dict[str, int] = {}

    @asynccontextmanager
    async def held(self, id_: str) -> AsyncIterator[None]:
        """Hold the lock of one id; not reentrant."""
        lock = self._locks.setdefault(id_, asyncio.Lock())
        self._users[id_] = self._users.get(id_, 0) + 1
        try:
            async with lock:
                yield
        finally:
            self._users[id_] -= 1
            if not self._users[id_]:
                del self._users[id_], self._locks[id_]
