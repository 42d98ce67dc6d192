"""The firewall in nf_tables (see `drivers.firewall.Firewall`), and the guard of bridges' ports.

The guard stands on its own beside the firewall in iptables; with that in nf_tables it is one set
of tables with it, so that a container's start is one transaction.
"""

from collections.abc import Sequence

from drivers import libnftables, nft_rules, spoofing
from drivers.firewall import FirewallState, LiveRule
from drivers.nft_listing import live_rules
from drivers.nft_rules import table_name
from drivers.nftables import NftTables, Pieces


class NftFirewall:
    """netd's tables of the families inet and bridge."""

    def __init__(self, owner: str = "", families: Sequence[str] = ("inet", "bridge")) -> None:
        """Take the six hexadecimal digits that mark the tables of a daemon beside the host's.

        `families` may be one of the two alone: "bridge" is the guard, "inet" the firewall.
        """
        name = table_name(owner)
        self._owner, self._families = owner, families
        self._tables = NftTables(*((family, name) for family in families))

    def problem(self) -> str | None:
        """Return why this machine cannot have it; None: it can."""
        return libnftables.available()

    def apply(self, state: FirewallState) -> None:
        """Send what differs from what was sent last."""
        self._tables.apply(self._pieces(state))

    def looks_changed(self) -> bool:
        """Return whether anybody has changed any rule of this network namespace."""
        return self._tables.looks_changed()

    def repair(self) -> Sequence[str]:
        """Compare the tables with what was sent, put them right; return what was lost."""
        return self._tables.repair()

    def rules(self) -> Sequence[LiveRule]:
        """Return the rules and elements with their counters."""
        return [*live_rules(self._tables.listed())]

    def clear(self) -> None:
        """Remove the tables; one in which the user has rules stays, and does nothing."""
        self._tables.clear(self._pieces(FirewallState()))
        self._tables.close()

    def _pieces(self, state: FirewallState) -> Pieces:
        inet = nft_rules.pieces(state, self._owner) if "inet" in self._families else {}
        guard = spoofing.pieces(state.ports, self._owner) if "bridge" in self._families else {}
        return {**inet, **guard}
