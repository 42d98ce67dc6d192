"""The host's rules: computed from what is stored, applied as a whole, kept as they were applied."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from drivers import conntrack, sysctl
from drivers.conntrack import HostPort
from drivers.contract import Address, DriverError
from drivers.firewall import FAMILIES, Firewall, FirewallState, LiveRule, Publication
from drivers.iptables_firewall import IptablesFirewall
from drivers.nft_firewall import NftFirewall
from netd.errors import InternalError, UnavailableError
from netd.kernel import Kernel
from netd.publications import Known, firewall_state
from netd.store import Store

log = logging.getLogger(__name__)

BACKENDS = ("iptables", "nftables")


class HostFirewall:
    """Keeps the live rules equal to what the state calls for."""

    backend = ""  # iptables or nftables, once it is chosen

    def __init__(self, store: Store, kernel: Kernel, wanted: str, owner: str, run: Path) -> None:
        """`wanted` names the backend, empty for what the machine has; `run` is gone after a boot.

        `owner` are the six hexadecimal digits that mark the rules of a daemon beside the host's.
        """
        self._store, self._kernel = store, kernel
        self._wanted, self._owner = wanted, owner
        self._kinds: tuple[Firewall, ...] = ()
        self._state: FirewallState | None = None  # absent: what there is was not made by us
        self._turned_on = _TurnedOn(run / "forwarding")
        self._known: Known = {}
        self._forgetting = asyncio.Lock()
        self._stale_ports: set[HostPort] = set()
        self._stale_addresses: set[Address] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Choose the backend; UnavailableError when this machine has nothing to put rules into."""
        await self._kernel.run(self._choose)

    async def apply(self) -> None:
        """Apply the rules of what is stored now; flows that they are no longer true for go."""
        before, after = await self._kernel.run(self._apply, self._computed())
        if before is None:
            return
        moved = {*_moved_ports(before, after)}
        self._stale_ports |= moved
        self._stale_addresses |= _gone_addresses(before, after)
        if self._stale_ports or self._stale_addresses:
            forgetting = asyncio.create_task(self._forget_flows())
            self._tasks.add(forgetting)
            forgetting.add_done_callback(self._tasks.discard)
            if moved:
                # Who sends to them is led elsewhere when this returns. An address that is gone is
                # given to nobody else for long: nobody needs to wait for that.
                await asyncio.shield(forgetting)

    async def close(self) -> None:
        """Finish what was begun; the rules stay."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def clear_other(self) -> None:
        """Remove what a daemon with the other backend left; the new rules are there already."""
        try:
            await self._kernel.run(self._clear_other)
        except InternalError as error:
            log.error("the rules of the other firewall are left: %s", error)  # noqa: TRY400

    async def looks_changed(self) -> bool:
        """Return whether somebody may have changed netd's rules; takes microseconds."""
        return await self._kernel.run(lambda: any(kind.looks_changed() for kind in self._kinds))

    async def repair(self) -> Sequence[str]:
        """Compare the kernel with what was applied last, put it right; return what was lost."""
        return await self._kernel.run(
            lambda: [lost for kind in self._kinds for lost in kind.repair()]
        )

    async def rules(self) -> Sequence[LiveRule]:
        """Return netd's rules with their counters."""
        return await self._kernel.run(
            lambda: [rule for kind in self._kinds for rule in kind.rules()]
        )

    def state(self) -> FirewallState:
        """Return what the rules are computed from, as it was applied last."""
        return self._state or FirewallState()

    async def _forget_flows(self) -> None:
        """Forget flows of ports that lead elsewhere by now, and of addresses that are gone.

        Behind the rules: a client that goes on sending begins a new flow with its next packet. To
        look through all flows takes the kernel some 10 ms: those who come meanwhile share the next.
        """
        async with self._forgetting:
            ports, self._stale_ports = self._stale_ports, set()
            addresses, self._stale_addresses = self._stale_addresses, set()
            if not (ports or addresses):
                return
            try:
                forgotten = await asyncio.to_thread(conntrack.flush, ports, addresses)
            except (DriverError, OSError) as error:
                log.warning("old flows are not forgotten: %s", error)
                return
        if forgotten:
            log.debug("forgot %d flows of %s, %s", forgotten, ports, addresses)

    def _computed(self) -> FirewallState:
        return firewall_state(self._store.networks, self._store.containers, self._known)

    # From here on: in the network thread.

    def _choose(self) -> None:
        problems = {}
        for name in (self._wanted,) if self._wanted else BACKENDS:
            firewall = self._firewall(name)
            problem = firewall.problem()
            if problem is None:
                self.backend, self._kinds = name, (firewall, *self._guard(name))
                return
            problems[name] = problem
        told = "; ".join(f"{name}: {problem}" for name, problem in problems.items())
        raise UnavailableError(f"there is nothing to put firewall rules into: {told}")

    def _firewall(self, name: str) -> Firewall:
        return IptablesFirewall(self._owner) if name == "iptables" else NftFirewall(self._owner)

    def _guard(self, name: str) -> Iterator[Firewall]:
        if name == "nftables":
            return  # it has the guard in it
        guard = NftFirewall(self._owner, ["bridge"])
        problem = guard.problem()
        if problem is None:
            yield guard
        else:
            log.warning("containers can speak with others' addresses (anti-spoofing): %s", problem)

    def _apply(self, state: FirewallState) -> tuple[FirewallState | None, FirewallState]:
        needs = {p.version for n in state.networks if not n.internal for p in n.prefixes}
        self._turned_on.about_to(sorted(needs))
        before, after = self._state, self._turned_on.told(state)
        for kind in self._kinds:
            kind.apply(after)
        self._state = after
        return before, after

    def _clear_other(self) -> None:
        if self.backend == "nftables":
            # Without a question whether it could be used: that would load the tables.
            self._firewall("iptables").clear()
            return
        other = NftFirewall(self._owner, ["inet"])
        if other.problem() is None:
            other.clear()


class _TurnedOn:
    """Which families this host forwards only since netd asked it to; forgotten with a boot."""

    def __init__(self, path: Path) -> None:
        self._path, self._boot = path, Path("/proc/sys/kernel/random/boot_id").read_text().strip()

    def about_to(self, families: Sequence[int]) -> None:
        """Note the families that are about to be turned on, before that is done."""
        new = [family for family in families if not sysctl.forwards(family)]
        noted = self._noted()
        if not noted.issuperset(new):
            try:
                words = map(str, sorted(noted.union(new)))
                # Whole or not at all: half of it would open the host to strangers.
                beside = self._path.with_suffix(".new")
                beside.write_text(" ".join((self._boot, *words)))
                beside.replace(self._path)
            except OSError as error:
                raise InternalError(f"cannot write {self._path}: {error.strerror}") from error

    def told(self, state: FirewallState) -> FirewallState:
        """Return the state with what was noted."""
        return replace(state, not_a_router=self._noted())

    def _noted(self) -> frozenset[int]:
        try:
            boot, *words = self._path.read_text().split() or [""]
        except FileNotFoundError:
            return frozenset()
        of_this = words if boot == self._boot else []
        return frozenset(family for family in FAMILIES if str(family) in of_this)


def _moved_ports(before: FirewallState, after: FirewallState) -> Iterator[HostPort]:
    for container in before.published.keys() | after.published.keys():
        old, new = (each.published.get(container, ()) for each in (before, after))
        if old is new:
            continue
        was, is_ = ({_way(each) for each in group if each.host_port} for group in (old, new))
        yield from (port for port, _ in was - is_)
        # Before it was published nobody had a connection by it, but datagrams may have come.
        yield from (port for port, _ in is_ - was if port.protocol == "udp")


def _way(each: Publication) -> tuple[HostPort, tuple[Address, int]]:
    """Return where from and where to, whatever it is called."""
    outside = HostPort(each.protocol, each.host_address, each.host_port, each.count)
    return outside, (each.address, each.port)


def _gone_addresses(before: FirewallState, after: FirewallState) -> frozenset[Address]:
    old, new = ({i.ip for port in each.ports for i in port.addresses} for each in (before, after))
    return frozenset(old - new)
