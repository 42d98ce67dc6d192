"""Who waits for a container's end, and for which one."""

import asyncio
from typing import Literal

Condition = Literal["not-running", "next-exit", "removed"]


class Waiters:
    """Futures of exit codes, by container id."""

    def __init__(self) -> None:
        self._waiting: dict[str, dict[asyncio.Future[int], Condition]] = {}

    def add(self, id_: str, condition: Condition) -> "asyncio.Future[int]":
        """Return what to await for the exit code; cancelling it leaves nothing behind."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id_, {})[future] = condition
        future.add_done_callback(lambda done: self._drop(id_, done))
        return future

    def exited(self, id_: str, exit_code: int) -> None:
        """Tell those who wait for the process's end."""
        self._tell(id_, exit_code, {"not-running", "next-exit"})

    def removed(self, id_: str, exit_code: int) -> None:
        """Tell everyone: there will be no other end."""
        self._tell(id_, exit_code, {"not-running", "next-exit", "removed"})

    def __len__(self) -> int:
        """How many wait."""
        return sum(len(waiting) for waiting in self._waiting.values())

    def _tell(self, id_: str, exit_code: int, conditions: set[Condition]) -> None:
        for future, condition in tuple(self._waiting.get(id_, {}).items()):
            if condition in conditions and not future.done():
                future.set_result(exit_code)

    def _drop(self, id_: str, future: asyncio.Future[int]) -> None:
        waiting = self._waiting.get(id_, {})
        waiting.pop(future, None)
        if not waiting:
            self._waiting.pop(id_, None)
