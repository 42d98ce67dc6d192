"""Puts back what others take away: rules, bridges, wires, addresses, settings.

The kernel tells of most changes at once; a look at everything, now and then, finds the rest. Rules
come before links: what leads somewhere is not there again before what keeps it apart.
"""

import asyncio
import logging
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import suppress

from drivers.firewall import FirewallState
from drivers.watch import AddressChange, Change, LinkChange, RulesChange, Watch
from netd.errors import NetdError
from netd.events import Events
from netd.firewall import HostFirewall
from netd.kernel import Kernel
from netd.locks import Locks
from netd.model import Container, Endpoint, Network
from netd.networks import Networks
from netd.plumbing import driver_endpoint, driver_network
from netd.sandboxes import Sandboxes
from netd.store import Store

log = logging.getLogger(__name__)

SWEEP_S = 5.0  # everything is looked at
GLANCE_S = 0.5  # whether the rules seem to be there still, where nobody tells
SETTLE_S = 0.01  # what belongs together is told together

Member = tuple[Container, Endpoint]


class Repair:
    """Watches what this daemon made, and makes it again."""

    def __init__(
        self,
        store: Store,
        events: Events,
        locks: Locks,
        kernel: Kernel,
        firewall: HostFirewall,
        networks: Networks,
        sandboxes: Sandboxes,
    ) -> None:
        self._store, self._events, self._locks = store, events, locks
        self._kernel, self._firewall = kernel, firewall
        self._networks, self._sandboxes = networks, sandboxes
        self._watch: Watch | None = None
        self._told = asyncio.Event()
        self._rules, self._links = False, False  # what was told of since it was looked at
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch; the first look at everything is due at once."""
        # In the thread whose changes of rules are no news.
        self._watch = await self._kernel.run(Watch)
        for number in self._watch.filenos():
            asyncio.get_running_loop().add_reader(number, self._read)
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stop watching; a repair that has begun is finished by the network thread. Repeatable."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        watch, self._watch = self._watch, None
        if watch is not None:
            for number in watch.filenos():
                asyncio.get_running_loop().remove_reader(number)
            watch.close()

    def _read(self) -> None:
        assert self._watch is not None
        changes = self._watch.read()
        if not changes:
            return
        known = _Known(self._firewall.state())
        for change in changes:
            self._rules = self._rules or _concerns_rules(change)
            self._links = self._links or known.concerns(change)
        if self._rules or self._links:
            self._told.set()

    async def _run(self) -> None:
        swept = 0.0
        while True:
            try:
                due = time.monotonic() - swept >= SWEEP_S
                rules, links, self._rules, self._links = self._rules, self._links, False, False
                if due:
                    swept = time.monotonic()
                if due or rules or await self._firewall.looks_changed():
                    await _tried(self._repair_rules())
                if due or links:
                    await self._repair_links()
            except Exception:
                # A driver of somebody else's may raise anything; the watch goes on.
                log.exception("not everything could be put right")
            await self._wait()

    async def _wait(self) -> None:
        # Only of iptables' rules the kernel says nothing by itself.
        silent = self._firewall.backend == "iptables"
        with suppress(TimeoutError):
            async with asyncio.timeout(GLANCE_S if silent else SWEEP_S):
                await self._told.wait()
            await asyncio.sleep(SETTLE_S)
        self._told.clear()

    async def _repair_rules(self) -> None:
        for lost in await self._firewall.repair():
            log.warning("put back: %s", lost)
            self._events.daemon("repair", lost=lost, backend=self._firewall.backend)

    async def _repair_links(self) -> None:
        for network in await self._kernel.run(self._damaged):
            # One that cannot be put right keeps none of the others from it.
            await _tried(self._repair_network(network))
            for container, endpoint in [*_members(self._store, network)]:
                await _tried(self._repair_port(network, container, endpoint))

    async def _repair_network(self, network: Network) -> None:
        self._tell(network, await self._networks.repair(network.id))

    async def _repair_port(self, network: Network, container: Container, known: Endpoint) -> None:
        async with self._locks.held(container.id):
            current = self._store.containers.get(container.id)
            if current is None or not current.state.running:
                return
            for endpoint in current.endpoints:
                if endpoint.id == known.id:
                    lost = await self._sandboxes.repair(current, endpoint)
                    self._tell(network, lost, container=current.id)

    def _tell(self, network: Network, lost: Sequence[str], **more: str) -> None:
        for what in lost:
            log.warning("put back in network %s: %s", network.name, what)
            self._events.network("repair", network, lost=what, **more)

    def _damaged(self) -> Sequence[Network]:
        """Return the networks of which something is not as it was made; in the network thread.

        Something may be in the middle of its making: it is looked at again under its lock.
        """
        found = []
        for network in self._store.networks:
            driver = self._kernel.drivers.get(network.driver)
            endpoints = [driver_endpoint(each) for _, each in _members(self._store, network)]
            if driver and driver.damage(driver_network(network, None), endpoints):
                found.append(network)
        return found


async def _tried(repair: Coroutine[None, None, None]) -> None:
    try:
        await repair
    except (NetdError, OSError, ExceptionGroup) as error:
        log.error("not everything could be put right: %s", error)  # noqa: TRY400


class _Known:
    """What a change may be about: names of interfaces that are this daemon's."""

    def __init__(self, state: FirewallState) -> None:
        self._ports = {port.host_interface for port in state.ports}
        self._bridges = {network.bridge for network in state.networks}

    def concerns(self, change: Change) -> bool:
        """Return whether it may be one for the worse, of something that is ours."""
        if isinstance(change, LinkChange):
            worse = change.gone or not change.up
            if change.name in self._ports:
                return worse or not change.master
            return worse and change.name in self._bridges
        if isinstance(change, AddressChange):
            return change.gone
        return not isinstance(change, RulesChange)


def _concerns_rules(change: Change) -> bool:
    if isinstance(change, RulesChange):
        return change.table.startswith("netd")
    return not isinstance(change, LinkChange | AddressChange)


def _members(store: Store, network: Network) -> Iterator[Member]:
    for container in store.containers:
        if container.state.running:
            yield from (
                (container, endpoint)
                for endpoint in container.endpoints
                if endpoint.network_id == network.id and endpoint.host_interface
            )
