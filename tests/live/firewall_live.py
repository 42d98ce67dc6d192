"""What is live in a host's firewall: the texts of it, each with its sentence, and proven.

The texts are those that the kernel was given, because each nft(8) lists them in words of its own.
The tools show that they are what is live: they make them again in an empty network namespace, and
must list the same there.
"""

import json
import re
import sqlite3
import subprocess
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from drivers import nft_blocks, nft_rules, spoofing
from drivers.firewall import FirewallState
from drivers.iptables_rules import USER, ruleset
from drivers.nft_listing import differences, listing
from drivers.nft_rules import table_name
from drivers.rules import Table
from labs.host import Host
from netd.publications import firewall_state
from netd.store import Store
from tests.live import firewall_host
from tests.live.firewall_pages import Page
from tests.live.firewall_places import unsaid
from tests.rawapi import Api

PREDEFINED = "bridge"  # the network that is there at any time; no page is about it
TOOLS = {4: "iptables", 6: "ip6tables"}
COMMENT = re.compile(r'comment "([^"]*)"')


@dataclass(frozen=True, slots=True)
class Line:
    """A rule or an element as it is live, its names made the same for each run."""

    tool: str  # iptables, ip6tables, nft
    place: str  # "table nat, chain NETD-DNAT", "chain forward", "map into"
    text: str
    sentence: str  # empty: it is no rule, it says where a chain hangs


@dataclass(frozen=True, slots=True)
class Captured:
    """What a page is written from."""

    firewall: Sequence[Line]
    guard: Sequence[Line]
    differences: Sequence[str]  # between the texts and what is live: none, if all is well


def captured(host: Host, page: Page) -> Captured:
    """Run a page's commands; return what is live then; take everything away."""
    mark = _mark(_rules(host))
    users = firewall_host.make(host, page, table_name(mark))
    found = _Look(host, _stored(host, page), mark, users).captured()
    firewall_host.clean(host, table_name(mark))
    return found


def _rules(host: Host) -> Sequence[Mapping[str, str]]:
    with Api(host.socket) as api:
        found: Sequence[Mapping[str, str]] = api.call("GET", "/netd/rules")["Rules"]
    return found


def _mark(rules: Sequence[Mapping[str, str]]) -> str:
    """Return the digits that end the names of this daemon's chains and tables."""
    found = (re.search(r" netd-([0-9a-f]{6}) ", rule["Place"]) for rule in rules)
    (mark,) = {match[1] for match in found if match}
    return mark


def _stored(host: Host, page: Page) -> FirewallState:
    """Return what the daemon computes its rules from, out of a copy of its state."""
    copy = host.folder / "copy.db"
    source = f"file:{host.folder}/data/netd.db?mode=ro"
    with closing(sqlite3.connect(source, uri=True)) as live, closing(sqlite3.connect(copy)) as to:
        live.backup(to)
    store = Store(copy)
    state = firewall_state(store.networks, store.containers)
    store.close()
    for path in host.folder.glob("copy.db*"):
        path.unlink()
    return replace(state, not_a_router=frozenset() if page.router else frozenset({4, 6}))


class _Look:
    """One look at a host."""

    def __init__(self, host: Host, state: FirewallState, mark: str, users: Sequence[str]) -> None:
        self._host, self._state, self._mark, self._users = host, state, mark, users
        self._differences: list[str] = []
        self._reasons: dict[tuple[str, str], deque[str]] = defaultdict(deque)
        for rule in _rules(host):
            for raw in rule["Raw"].splitlines():
                comment = COMMENT.search(raw)
                if comment and not rule["Place"].endswith((" user", USER)):
                    self._reasons[rule["Place"], comment[1]].append(rule["Reason"])

    def captured(self) -> Captured:
        """Return what is live."""
        table = table_name(self._mark)
        if self._host.firewall == "iptables":
            lines = [*self._iptables()]
        else:
            pieces = nft_blocks.text(nft_rules.pieces(self._state, self._mark))
            users = [f"add rule inet {table} {nft_rules.USER} {rule}" for rule in self._users]
            lines = [*self._nftables("inet", table, [*pieces.splitlines(), *users])]
        pieces = nft_blocks.text(spoofing.pieces(self._state.ports, self._mark))
        guard = [*self._nftables("bridge", table, pieces.splitlines())]
        left = [f"only live: {place}: {c}" for (place, c), found in self._reasons.items() if found]
        return Captured(lines, guard, [*self._differences, *left])

    def _iptables(self) -> Iterator[Line]:
        tables = [table for table in ruleset(self._state, self._mark).tables if table.chains]
        for family, tool in TOOLS.items():
            texts = [self._restorable(table) for table in tables if table.family == family]
            self._compare_chains(tool, "".join(texts))
        for text in self._users:
            yield Line(TOOLS[4], f"table filter, chain {USER}", text, "your own rule")
        for table in tables:
            jumps = (*table.jumps.items(), *table.last_jumps.items())
            # A jump stands with the chain it leads to: it says when packets come there.
            rules = [(chain, jump.jump, jump) for chain, jump in jumps]
            rules += [(name, name, r) for name, of in table.chains.items() for r in of or ()]
            for chain, section, rule in rules:
                tool, text = TOOLS[table.family], rule.text(chain)
                sentence = self._reason(f"{tool} {table.name} {chain}", rule.comment)
                yield from self._line(tool, f"table {table.name}, chain {section}", text, sentence)

    def _restorable(self, table: Table) -> str:
        users = self._users if (table.family, table.name) == (4, "filter") else ()
        return "\n".join((*table.text().splitlines()[:-1], *users, "COMMIT", ""))

    def _compare_chains(self, tool: str, text: str) -> None:
        built = _chains(_in_nothing(f"{tool}-legacy-restore -w && {tool}-legacy-save", text))
        live = _chains(self._host.inside(f"{tool}-legacy-save"))
        for chain in sorted(built.keys() | live.keys()):
            if built[chain] != live[chain]:
                self._differences.append(f"{tool} {chain}: {live[chain]} is not {built[chain]}")

    def _nftables(self, family: str, table: str, commands: Sequence[str]) -> Iterator[Line]:
        self._compare_table(family, table, "\n".join(commands))
        kinds: dict[str, str] = {}  # chain, set or map, by name
        for command in commands:
            found = re.match(rf"add (\w+) {family} {table} (\S+) ?(.*)", command)
            if not found:
                continue  # a heading, the table itself
            kind, name, text = found.groups()
            if kind in {"chain", "set", "map"}:
                kinds[name] = kind
                if " hook " in text:
                    yield Line("nft", f"chain {name}", text.strip("{ }"), "")
                continue
            texts = [text.replace("counter ", "", 1)]
            if kind == "element":
                texts = text.removeprefix("{ ").removesuffix(" }").split(", ")
            place = f"{kinds[name]} {name}"
            for each in texts:
                sentence = self._sentence(f"{family} {table} {name}", each)
                yield from self._line("nft", place, each, sentence)

    def _compare_table(self, family: str, table: str, text: str) -> None:
        built, live = (
            listing([o for o in json.loads(told)["nftables"] if _is_of(o, family, table)])
            for told in (
                _in_nothing("nft -f - && nft -j list ruleset", text),
                self._host.inside("nft", "-j", "list", "ruleset"),
            )
        )
        self._differences += [f"nftables {family}: {each}" for each in differences(built, live)]
        if built.rules.get(nft_rules.USER) != live.rules.get(nft_rules.USER):
            self._differences.append(f"nftables {family}: chain {nft_rules.USER}")

    def _sentence(self, place: str, text: str) -> str:
        if place.endswith(" user"):
            return "your own rule"
        comment = COMMENT.search(text)
        return self._reason(place, comment[1]) if comment else ""

    def _reason(self, place: str, comment: str) -> str:
        reasons = self._reasons[place, comment]
        if not reasons:
            self._differences.append(f"not live: {place}: {comment}")
            return comment
        return reasons.popleft()

    def _line(self, tool: str, place: str, text: str, sentence: str) -> Iterator[Line]:
        place, text, sentence = map(self._renamed, (place, text, sentence))
        if not re.search(rf"-{PREDEFINED}\b", f"{place} {text}"):
            yield Line(tool, place, text, sentence or unsaid(place, text))

    def _renamed(self, text: str) -> str:
        for network in self._state.networks:
            text = text.replace(network.id[:12], network.name)
        for port in self._state.ports:
            text = text.replace(port.host_interface, f"nd{port.container}")
        return text.replace(f"-{self._mark}", "")


def _in_nothing(script: str, text: str) -> str:
    """Run a script in an empty network namespace, with a text to read; return its output."""
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", script],
        check=False,
        input=text,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{script}: {done.stderr}\n{text}"
    return done.stdout


def _chains(saved: str) -> Mapping[str, Sequence[str]]:
    """Return the rules by table and chain, of what iptables-save tells."""
    chains: dict[str, list[str]] = defaultdict(list)
    table = ""
    for line in saved.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith("-A"):
            chains[f"{table} {line.split()[1]}"].append(line)
    return chains


def _is_of(each: Mapping[str, Mapping[str, str]], family: str, table: str) -> bool:
    ((kind, said),) = each.items()
    return (said.get("family"), said.get("name" if kind == "table" else "table")) == (family, table)
