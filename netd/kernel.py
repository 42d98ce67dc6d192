"""The network thread: the one place where the kernel's network is touched.

Netlink sockets, setns and python-iptables' handles belong to a thread; so one thread owns them
all, for the daemon's whole life, and the event loop awaits it. Work is done in the order of its
coming.
"""

import asyncio
import functools
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from drivers.contract import Driver, DriverError
from netd.errors import InternalError

if TYPE_CHECKING:
    from drivers.link import Links

P = ParamSpec("P")
T = TypeVar("T")


class Kernel:
    """The network thread with its links and drivers."""

    links: "Links"
    drivers: Mapping[str, Driver]

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="network")

    async def open(self) -> None:
        """Open the netlink socket and load the drivers, in the thread."""
        await self.run(self._open)

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a function in the thread and return what it returns.

        What drivers and the kernel refuse is raised as InternalError, several refusals as one.
        Work that has begun is finished even when the awaiting request goes away: what it made is
        known to its caller's undo, which runs behind it in the same thread.
        """
        call = functools.partial(function, *args, **kwargs)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, call)
        except (DriverError, OSError) as error:
            raise InternalError(str(error)) from error
        except ExceptionGroup as group:
            refusals, others = group.split((DriverError, OSError))
            if others is not None or refusals is None:
                raise
            told = "; ".join(map(str, refusals.exceptions))
            raise InternalError(f"{group.message}: {told}") from group

    async def close(self) -> None:
        """Close the netlink socket and end the thread; may be repeated."""
        if hasattr(self, "links"):
            await self.run(self.links.close)
        self._thread.shutdown(wait=True)

    def _open(self) -> None:
        from drivers.link import Links
        from drivers.registry import drivers

        self.links = Links()
        self.drivers = drivers(self.links)
