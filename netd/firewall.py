"""The host's rules: computed from the networks there are, applied as a whole."""

from drivers import firewall, iptables
from netd.errors import UnavailableError
from netd.kernel import Kernel
from netd.plumbing import driver_network
from netd.store import Store


class Firewall:
    """Keeps the live rules equal to what the networks call for."""

    def __init__(self, store: Store, kernel: Kernel, owner: str = "") -> None:
        """Take the six hexadecimal digits that mark the chains of a daemon beside the host's."""
        self._store, self._kernel, self._owner = store, kernel, owner

    async def apply(self) -> None:
        """Commit the rules of all bridge networks; a table that is right already is not touched."""
        ruleset = firewall.ruleset(
            [
                firewall.firewall_network(driver_network(network, None))
                for network in self._store.networks
                if network.driver == "bridge"
            ],
            self._owner,
        )
        await self._kernel.run(iptables.apply, ruleset)

    async def check(self) -> None:
        """Raise UnavailableError when this machine has no tables to put rules into."""
        problem = await self._kernel.run(iptables.available)
        if problem:
            raise UnavailableError(problem)
