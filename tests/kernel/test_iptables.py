"""The kernel's tables brought in line with rule sets; what others put there stays."""

import fcntl
import subprocess
import sys
from collections import defaultdict
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers import iptables
from drivers.contract import DriverError
from drivers.firewall import FirewallState
from drivers.iptables_rules import resolver_ruleset, ruleset
from drivers.rules import Rule, Ruleset, Table
from drivers.sandbox import remove_sandbox
from tests.kernel.firewalls import NETWORKS, STATE

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel

WANTED = ruleset(STATE)
TOOLS = {4: "iptables-legacy", 6: "ip6tables-legacy"}


def live(host: "Host", family: int, table: str) -> dict[str, list[str]]:
    """Return the rules of a table as iptables-save tells them, by chain."""
    text = host.output(f"{TOOLS[family]}-save", "-t", table)
    return by_chain(text.splitlines())


def by_chain(lines: list[str]) -> dict[str, list[str]]:
    chains: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if line.startswith(":") and line.split()[1] == "-":
            chains[line.split()[0][1:]] = []
        elif line.startswith("-A"):
            chains[line.split()[1]].append(line)
    return dict(chains)


def wanted(family: int, name: str, of: Ruleset = WANTED) -> dict[str, list[str]]:
    (table,) = [t for t in of.tables if (t.family, t.name) == (family, name)]
    return by_chain(table.text().splitlines())


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("table", ["raw", "filter", "nat"])
def test_the_tables_are_what_the_rule_set_says(host: "Host", family: int, table: str) -> None:
    host.run(iptables.apply, WANTED)

    assert live(host, family, table) == wanted(family, table)


def test_the_rules_of_a_resolver_are_what_the_rule_set_says(host: "Host") -> None:
    rules = resolver_ruleset(ip_address("127.0.0.11"), 34567)

    host.run(iptables.apply, rules)

    assert live(host, 4, "nat") == wanted(4, "nat", rules)


def test_only_tables_that_differ_are_written(host: "Host", monkeypatch: pytest.MonkeyPatch) -> None:
    host.run(iptables.apply, WANTED)
    committed = []
    iptc = host.run(iptables._iptc)
    original = iptc.Table.commit
    monkeypatch.setattr(
        iptc.Table,
        "commit",
        lambda table: (committed.append((type(table).__name__, table.name)), original(table)),
    )

    host.run(iptables.apply, WANTED)
    assert committed == []
    host.output("iptables-legacy", "-t", "nat", "-F", "NETD-POSTROUTING")
    host.run(iptables.apply, WANTED)

    assert committed == [("Table", "nat")]
    assert live(host, 4, "nat") == wanted(4, "nat")


@pytest.mark.parametrize(
    "damage",
    [
        "-F",
        "-F NETD-FORWARD",
        "-D NETD-FORWARD 5",
        "-I NETD-FORWARD -j ACCEPT",
        "-R NETD-FORWARD 5 -j ACCEPT",
        "-I FORWARD 1 -j NETD-FORWARD",
        "-D FORWARD 1",
        "-N NETD-OLD",
    ],
)
def test_what_somebody_broke_is_repaired(host: "Host", damage: str) -> None:
    host.run(iptables.apply, WANTED)
    host.output("iptables-legacy", *damage.split())

    host.run(iptables.apply, WANTED)

    assert live(host, 4, "filter") == wanted(4, "filter")


def test_a_rule_that_differs_in_one_letter_of_an_interface_is_repaired(host: "Host") -> None:
    host.run(iptables.apply, WANTED)
    place = host.output("ip6tables-legacy", "-S", "NETD-FORWARD").splitlines()
    number = next(n for n, line in enumerate(place) if "-o br1 " in line and "DROP" in line)
    words = place[number].replace("-o br1 ", "-o br9 ").replace('"', "").split(" -m comment")[0]
    host.output("ip6tables-legacy", "-R", "NETD-FORWARD", str(number), *words.split()[2:])

    host.run(iptables.apply, WANTED)

    assert live(host, 6, "filter") == wanted(6, "filter")


def test_rules_and_chains_of_others_stay_as_they_are(host: "Host") -> None:
    foreign = [
        "-N MINE",
        "-A MINE -p tcp -m tcp --dport 22 -j ACCEPT",
        "-A FORWARD -i other -j MINE",
        "-A INPUT -s 192.0.2.0/24 -j DROP",
        "-P FORWARD DROP",
    ]
    for rule in foreign:
        host.output("iptables-legacy", *rule.split())
    before = host.output("iptables-legacy", "-S")

    host.run(iptables.apply, WANTED)
    during = live(host, 4, "filter")
    host.run(iptables.clear)

    first, last = wanted(4, "filter")["FORWARD"]
    assert during["FORWARD"] == [first, "-A FORWARD -i other -j MINE", last]
    assert during["INPUT"] == ["-A INPUT -s 192.0.2.0/24 -j DROP"]
    assert host.output("iptables-legacy", "-S") == before


def test_a_jump_stays_where_the_user_moved_it(host: "Host") -> None:
    host.run(iptables.apply, WANTED)
    host.output("iptables-legacy", "-I", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
    before = live(host, 4, "filter")

    host.run(iptables.apply, WANTED)

    assert live(host, 4, "filter") == before


def test_the_jump_that_stands_for_the_end_is_moved_behind_rules_that_came_later(
    host: "Host",
) -> None:
    host.run(iptables.apply, WANTED)
    host.output("iptables-legacy", "-A", "FORWARD", "-s", "192.0.2.1", "-j", "ACCEPT")

    host.run(iptables.apply, WANTED)

    first, last = wanted(4, "filter")["FORWARD"]
    added = "-A FORWARD -s 192.0.2.1/32 -j ACCEPT"
    assert live(host, 4, "filter")["FORWARD"] == [first, added, last]


def test_the_users_own_rules_survive_everything(host: "Host") -> None:
    host.run(iptables.apply, WANTED)
    rule = "-A NETD-USER -s 192.0.2.1/32 -j DROP"
    host.output("iptables-legacy", *rule.split())

    host.run(iptables.apply, WANTED)
    host.run(iptables.apply, ruleset(FirewallState()))
    host.run(iptables.apply, WANTED)
    host.run(iptables.clear)

    assert live(host, 4, "filter") == {"NETD-USER": [rule]}


def test_nothing_is_left_after_clearing(host: "Host") -> None:
    host.run(iptables.apply, WANTED)

    host.run(iptables.clear)

    for family in (4, 6):
        for table in ("filter", "nat"):
            assert live(host, family, table) == {}


def test_tables_that_hold_nothing_of_netd_are_not_loaded(host: "Host") -> None:
    host.run(iptables.apply, ruleset(FirewallState((NETWORKS[3],))))

    names = {n: host.output("cat", f"/proc/self/net/ip{n}_tables_names") for n in ("", "6")}
    assert {n: set(found.split()) for n, found in names.items()} == {
        "": {"filter", "raw"},
        "6": set(),
    }


def test_a_rule_the_kernel_refuses_is_named_and_nothing_changes(host: "Host") -> None:
    host.run(iptables.apply, WANTED)
    wrong = Rule("netd x: wrong", "DNAT", to="10.0.0.1")  # only the table nat translates
    table = Table(4, "filter", {"NETD-FORWARD": (wrong,)}, {})

    with pytest.raises(DriverError, match=r"iptables table filter: .*--to-destination 10\.0\.0\.1"):
        host.run(iptables.apply, Ruleset((table,)))

    assert live(host, 4, "filter") == wanted(4, "filter")


def test_a_chain_somebody_else_uses_is_an_error_that_names_it(host: "Host") -> None:
    host.run(iptables.apply, WANTED)
    host.output("iptables-legacy", "-N", "MINE")
    host.output("iptables-legacy", "-A", "MINE", "-j", "NETD-FORWARD")

    with pytest.raises(DriverError, match="NETD-FORWARD"):
        host.run(iptables.clear)


def test_a_table_that_changed_meanwhile_is_read_again(
    host: "Host", monkeypatch: pytest.MonkeyPatch
) -> None:
    iptc = host.run(iptables._iptc)
    original = iptc.Table.commit

    def disturbed(table: object) -> None:
        monkeypatch.setattr(iptc.Table, "commit", original)
        # It does not wait for the lock, which is held now.
        done = subprocess.run(
            ["iptables-legacy", "-A", "FORWARD", "-s", "192.0.2.1", "-j", "DROP"],
            check=False,
            env={"PATH": "/usr/sbin:/sbin", "XTABLES_LOCKFILE": str(host.path.parent / "lock")},
        )
        assert done.returncode == 0
        original(table)

    monkeypatch.setattr(iptc.Table, "commit", disturbed)

    host.run(iptables.apply, WANTED)

    expected = wanted(4, "filter")
    expected["FORWARD"].insert(1, "-A FORWARD -s 192.0.2.1/32 -j DROP")
    assert live(host, 4, "filter") == expected


def test_a_lock_that_is_never_released_is_an_error(
    host: "Host", monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    lock = tmp_path / "xtables.lock"
    monkeypatch.setattr(iptables, "LOCK", str(lock))
    monkeypatch.setattr(iptables, "LOCK_TIMEOUT_S", 0.05)

    with lock.open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DriverError, match=r"another program holds .*xtables\.lock"):
            host.run(iptables.apply, WANTED)

    host.run(iptables.apply, WANTED)


def test_every_namespace_gets_its_own_rules(host: "Host") -> None:
    box = host.sandbox("box")
    rules = resolver_ruleset(ip_address("127.0.0.11"), 34567)
    host.run(iptables.apply, WANTED)

    host.inside(box, iptables.apply, rules)
    host.run(iptables.apply, ruleset(FirewallState((NETWORKS[0],))))

    assert live(host, 4, "nat") == wanted(4, "nat", ruleset(FirewallState((NETWORKS[0],))))
    assert host.output("iptables-legacy", "-t", "nat", "-S", inside=box).count("34567") == 4


def test_no_table_keeps_a_namespace_alive(host: "Host") -> None:
    box = host.sandbox("box")
    host.output("ip", "link", "add", "one", "type", "veth", "peer", "two", "netns", str(box))
    host.inside(box, iptables.apply, WANTED)

    remove_sandbox(box)

    # The kernel removes it in its own time; its end of the pair goes with it.
    host.output("timeout", "10", "sh", "-c", "while ip link show one; do :; done >&- 2>&-")


def test_iptables_is_said_to_be_usable(host: "Host") -> None:
    assert host.run(iptables.available) is None


def test_python_iptables_is_imported_without_child_processes_or_lasting_changes() -> None:
    code = """
import ctypes.util, os, subprocess, sys
before = ctypes.util.find_library, dict(os.environ), "distutils" in sys.modules
def refused(*_, **__): raise AssertionError("a child process")
run = subprocess.Popen.__init__
subprocess.Popen.__init__ = lambda self, words, **o: (
    run(self, words, **o) if "modprobe" in words[0] else refused())
from drivers import iptables
iptables._iptc()
assert before == (ctypes.util.find_library, dict(os.environ), "distutils" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
