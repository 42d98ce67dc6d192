"""Rules of iptables as values: what a rule matches and does, chains, tables; and as text."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from drivers.contract import Prefix

PREFIX = "NETD"  # netd's chains, and nobody else's, begin so


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; an interface with a leading `!` means every other one, a trailing `+` all such."""

    comment: str
    jump: str  # ACCEPT, DROP, RETURN, MASQUERADE, SNAT, DNAT or a chain
    source: Prefix | None = None
    destination: Prefix | None = None
    inbound: str = ""
    outbound: str = ""
    protocol: str = ""  # udp, tcp, sctp, icmp, ipv6-icmp
    source_port: int | None = None
    destination_port: int | None = None
    destination_last: int | None = None  # the end of a run of ports; absent: one port
    destination_type: str = ""  # of the address, as the routes say: LOCAL, !LOCAL
    states: str = ""  # connection tracking: RELATED,ESTABLISHED; DNAT
    to: str = ""  # what SNAT and DNAT put in: address, address:port, address:first-last/base

    def text(self, chain: str) -> str:
        """Return the rule as iptables-save(8) writes it."""
        return " ".join(("-A", chain, *self._words()))

    def _words(self) -> Iterator[str]:
        for flag, value in (
            ("-s", self.source),
            ("-d", self.destination),
            ("-i", self.inbound),
            ("-o", self.outbound),
            ("-p", self.protocol),
            *self._ports(),
            ("-m addrtype --dst-type", self.destination_type),
            ("-m conntrack --ctstate", self.states),
            ("-m comment --comment", f'"{self.comment}"'),
            ("-j", self.jump),
            ("--to-destination" if self.jump == "DNAT" else "--to-source", self.to),
        ):
            if value:
                yield _word(flag, str(value))

    def _ports(self) -> Iterator[tuple[str, object]]:
        if not (self.source_port or self.destination_port):
            return
        last = f":{self.destination_last}" if self.destination_last else ""
        wanted = f"{self.destination_port}{last}" if self.destination_port else ""
        if self.protocol == "sctp":  # its own match has another shape in each kernel's headers
            yield "-m multiport --dports", wanted
            return
        yield "-m", self.protocol
        yield "--sport", self.source_port
        yield "--dport", wanted


@dataclass(frozen=True, slots=True)
class Table:
    """netd's part of one of the kernel's tables."""

    family: int  # 4 or 6
    name: str  # raw, filter, nat
    chains: Mapping[str, tuple[Rule, ...] | None]  # absent rules: the user's, only made
    jumps: Mapping[str, Rule]  # by built-in chain; inserted as its first rule
    owner: str | None = ""  # whose chains of the table these are; None: everybody's
    last_jumps: Mapping[str, Rule] = field(default_factory=dict)  # kept as its last rule

    def text(self) -> str:
        """Return the table as iptables-save(8) writes it, built-in chains left out."""
        rules = [rule.text(chain) for chain, rule in self.jumps.items()]
        rules += [rule.text(chain) for chain, rule in self.last_jumps.items()]
        rules += [r.text(chain) for chain, rules in self.chains.items() for r in rules or ()]
        heads = [f":{chain} - [0:0]" for chain in self.chains]
        return "\n".join((f"*{self.name}", *heads, *rules, "COMMIT"))


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All the rules netd wants in one network namespace; a table without chains wants none."""

    tables: tuple[Table, ...]

    def text(self) -> str:
        """Return everything as text, to be read and compared."""
        return "".join(f"# IPv{table.family}\n{table.text()}\n" for table in self.tables)


def _word(flag: str, text: str) -> str:
    if not text.startswith("!"):
        return f"{flag} {text}"
    # The sign stands before the option itself: `-m addrtype ! --dst-type LOCAL`.
    module, space, option = flag.rpartition(" ")
    return f"{module}{space}! {option} {text[1:]}"
