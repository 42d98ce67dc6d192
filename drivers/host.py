"""The host driver: containers share the host's own network, so there is nothing to plumb."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from drivers.contract import Endpoint, Network

if TYPE_CHECKING:  # it loads pyroute2, which is slow
    from drivers.link import Links


class HostDriver:
    """The network of the host (see `drivers.contract.Driver`)."""

    what = "the host's network"

    def __init__(self, links: "Links") -> None:
        self._links = links

    def problems(self, network: Network) -> Sequence[str]:
        """Return a sentence for each thing that is wrong with the network's settings."""
        problems = [f"{self.what} cannot be internal"] * network.internal
        return problems + [
            f"{self.what} cannot have a subnet: {subnet.prefix}" for subnet in network.subnets
        ]

    def create(self, network: Network) -> None:
        """Do nothing: it is there."""

    def remove(self, network: Network) -> None:
        """Do nothing: it stays."""

    def join(self, network: Network, endpoint: Endpoint, sandbox: Path) -> None:
        """Do nothing: the namespace the container runs in is all there is to it."""

    def leave(self, network: Network, endpoint: Endpoint, sandbox: Path) -> None:
        """Do nothing."""

    def damage(self, network: Network, endpoints: Sequence[Endpoint]) -> Sequence[str]:  # noqa: ARG002
        """Return nothing: netd made nothing here."""
        return ()
