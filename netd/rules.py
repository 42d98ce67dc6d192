"""The firewall's rules in force, all of them or those about one network or container."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from drivers.firewall import FirewallState, LiveRule
from netd.errors import NotFoundError
from netd.model import Container, Network
from netd.rule_view import ShownRule, concerning, shown
from netd.store import Store, Table


class LiveFirewall(Protocol):
    """What is there, and what it was computed from."""

    @property
    def backend(self) -> str:
        """Return the kind of firewall: iptables or nftables."""

    async def rules(self) -> Sequence[LiveRule]:
        """Return the live rules with their counters."""

    def state(self) -> FirewallState:
        """Return what they were computed from."""


class Rules:
    """The rules as they are shown."""

    def __init__(self, store: Store, firewall: LiveFirewall) -> None:
        self._store, self._firewall = store, firewall

    @property
    def backend(self) -> str:
        """Return the kind of firewall that the rules are in."""
        return self._firewall.backend

    async def shown(self, of: str) -> Sequence[ShownRule]:
        """Return the rules about a network or a container; without a name or id, all.

        Raises NotFoundError if it is neither.
        """
        about = self._found(of) if of else None
        live, state = await self._firewall.rules(), self._firewall.state()
        rules = shown(live, state, self._names(state))
        if isinstance(about, Network):
            return concerning(rules, {about.name})
        if isinstance(about, Container):
            networks = {endpoint.network_name for endpoint in about.endpoints}
            return concerning(rules, networks, about.name)
        return rules

    def _names(self, state: FirewallState) -> Mapping[str, str]:
        """Return the names of containers by those in the state: a new name changes no rule."""
        by_interface = {
            endpoint.host_interface: container.name
            for container in self._store.containers
            for endpoint in container.endpoints
        }
        return {
            port.container: by_interface.get(port.host_interface, port.container)
            for port in state.ports
        }

    def _found(self, reference: str) -> Network | Container:
        tables: tuple[Table[Network], Table[Container]] = (
            self._store.networks,
            self._store.containers,
        )
        # A whole name goes before the first digits of an id, whichever kind it is of.
        for table in tables:
            whole = table.get(reference) or table.named(reference)
            if whole:
                return whole
        for table in tables:
            try:
                return table.find(reference)
            except NotFoundError:
                continue
        raise NotFoundError(f"no such network or container: {reference}")
