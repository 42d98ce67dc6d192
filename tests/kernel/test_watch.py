"""What is told about changes that ip, sysctl and nft make in a namespace, and what is not."""

import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from ipaddress import ip_interface
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from drivers import netlink
from drivers.sandbox import entered
from drivers.watch import (
    AddressChange,
    Change,
    ForwardingChange,
    LinkChange,
    Lost,
    RulesChange,
    Watch,
    generation,
)

if TYPE_CHECKING:
    from tests.kernel.conftest import Host

pytestmark = pytest.mark.kernel

INET, IP, BRIDGE, IP6 = 1, 2, 7, 10  # NFPROTO_...


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def watching(host: "Host") -> Iterator[Watch]:
    with closing(host.run(Watch)) as opened:
        yield opened


def told(watching: Watch, wanted: Callable[[list[Change]], object]) -> list[Change]:
    """Read until it is what is wanted, for some seconds at most."""
    found: list[Change] = []
    deadline = time.monotonic() + 5
    while not wanted(found) and time.monotonic() < deadline:
        select.select(watching.filenos(), [], [], 0.1)
        found += watching.read()
    return found


def has(*wanted: Change) -> Callable[[list[Change]], bool]:
    return lambda found: set(wanted) <= set(found)


def nft(host: "Host", *commands: str) -> None:
    host.output("nft", "\n".join(commands))


def tables(changes: list[Change]) -> list[tuple[int, str]]:
    return [(one.family, one.table) for one in changes if isinstance(one, RulesChange)]


def has_tables(*wanted: tuple[int, str]) -> Callable[[list[Change]], bool]:
    return lambda found: set(wanted) <= set(tables(found))


def put_table(name: str) -> None:
    """Make a table of nftables from this very process and thread."""
    of_batch, of_table = bytes((0, 0, 0, 10)), bytes((IP, 0, 0, 0))
    table = of_table + netlink.attribute(1, name.encode() + b"\0")
    batch = netlink.message(16, netlink.REQUEST, of_batch)
    batch += netlink.request(10 << 8, table, netlink.CREATE)
    batch += netlink.message(17, netlink.REQUEST, of_batch)
    netlink.do(netlink.NETFILTER, [batch])


def test_nothing_is_read_where_nothing_happened(watching: Watch) -> None:
    assert watching.read() == []


def test_an_interface_comes_changes_and_goes(host: "Host", watching: Watch) -> None:
    host.output("ip", "link", "add", "br0", "index", "70", "type", "bridge")
    host.output("ip", "link", "add", "v0", "index", "71", "type", "veth", "peer", "v1")
    host.output("ip", "link", "set", "v0", "up")
    host.output("ip", "link", "set", "v0", "master", "br0")
    host.output("ip", "link", "set", "v0", "nomaster")
    host.output("ip", "link", "set", "v0", "down")
    host.output("ip", "link", "del", "v0")
    gone = LinkChange("v0", 71, up=False, master=0, gone=True)

    found = [one for one in told(watching, has(gone)) if isinstance(one, LinkChange)]

    assert LinkChange("br0", 70, up=False, master=0, gone=False) in found
    seen = [(one.up, one.master, one.gone) for one in found if one.index == 71]
    steps = [step for n, step in enumerate(seen) if n == 0 or step != seen[n - 1]]
    assert steps == [
        (False, 0, False),
        (True, 0, False),
        (True, 70, False),
        (True, 0, False),
        (False, 0, False),
        (False, 0, True),
    ]


def test_an_interface_that_leaves_for_another_namespace_is_gone(
    host: "Host", watching: Watch
) -> None:
    box = host.sandbox("box")
    host.output("ip", "link", "add", "v0", "index", "71", "type", "veth", "peer", "v1")

    host.output("ip", "link", "set", "v0", "netns", str(box))

    gone = LinkChange("v0", 71, up=False, master=0, gone=True)
    assert gone in told(watching, has(gone))


@pytest.mark.parametrize(
    ("words", "address"),
    [
        ("10.1.2.3/24", "10.1.2.3/24"),
        ("10.1.1.1 peer 10.1.1.2/32", "10.1.1.1/32"),
        ("fd00:1::1/64", "fd00:1::1/64"),
    ],
)
def test_an_address_comes_and_goes(host: "Host", watching: Watch, words: str, address: str) -> None:
    came, went = (AddressChange(1, ip_interface(address), gone) for gone in (False, True))

    host.output("ip", "address", "add", *words.split(), "dev", "lo")
    assert set(told(watching, has(came))) == {came}

    host.output("ip", "address", "del", *words.split(), "dev", "lo")
    assert told(watching, has(went))[-1] == went


@pytest.mark.parametrize(
    ("key", "family"),
    [
        ("ipv4/ip_forward", 4),
        ("ipv6/conf/all/forwarding", 6),
        ("ipv4/conf/lo/forwarding", 4),
        ("ipv6/conf/lo/forwarding", 6),
    ],
)
def test_forwarding_is_told_once_however_many_interfaces_it_is_about(
    host: "Host", watching: Watch, key: str, family: int
) -> None:
    host.output("ip", "link", "add", "v0", "type", "veth", "peer", "v1")
    watching.read()

    for value in ("1", "0"):
        host.setting(key, value)

        assert told(watching, has(ForwardingChange(family))) == [ForwardingChange(family)]


def test_the_settings_of_a_new_interface_are_no_change(host: "Host", watching: Watch) -> None:
    host.output("ip", "link", "add", "v0", "index", "71", "type", "veth", "peer", "v1")
    new = LinkChange("v0", 71, up=False, master=0, gone=False)

    assert {type(one) for one in told(watching, has(new))} == {LinkChange}


def test_each_table_is_told_once_for_each_transaction(host: "Host", watching: Watch) -> None:
    everything = (
        "add table ip one",
        "add set ip one s { type inet_service; }",
        "add element ip one s { 1, 2, 3 }",
        "add chain ip one c",
        "add rule ip one c tcp dport @s accept",
        "add table ip6 one",
        "add table inet two",
        "add counter inet two k",
        "add table bridge three",
    )
    nft(host, *everything)
    nft(host, "delete element ip one s { 2 }")
    nft(host, "delete rule ip one c handle 3")
    nft(host, "flush ruleset")

    found = told(watching, lambda found: len(found) >= 10)

    four = [(IP, "one"), (IP6, "one"), (INET, "two"), (BRIDGE, "three")]
    assert tables(found)[:6] == [*four, (IP, "one"), (IP, "one")]
    assert sorted(tables(found)[6:]) == sorted(four)
    makers = [one.pid for one in found if isinstance(one, RulesChange)]
    assert [makers.count(pid) for pid in dict.fromkeys(makers)] == [4, 1, 1, 4]


def test_a_refused_transaction_is_not_told(host: "Host", watching: Watch) -> None:
    assert host.command("nft", "add table ip one; delete table ip absent").returncode != 0
    nft(host, "add table ip two")

    assert tables(told(watching, lambda found: found)) == [(IP, "two")]


def test_a_large_transaction_is_read_whole(host: "Host", watching: Watch) -> None:
    nft(host, "add table ip one", "add set ip one s { type inet_service; }")
    elements = ", ".join(map(str, range(1, 20_001)))
    subprocess.run(
        ["nsenter", f"--net={host.path}", "nft", "-f", "-"],
        input=f"add element ip one s {{ {elements} }}",
        text=True,
        check=True,
    )

    found = told(watching, lambda found: len(found) >= 2)

    assert tables(found) == [(IP, "one"), (IP, "one")] and watching.read() == []


def test_what_the_watching_thread_changes_itself_is_left_out(host: "Host", watching: Watch) -> None:
    host.run(put_table, "own")
    nft(host, "add table ip other")
    host.run(put_table, "too")
    nft(host, "add table ip last")

    found = told(watching, has_tables((IP, "last")))

    assert tables(found) == [(IP, "other"), (IP, "last")]
    assert "table ip own" in host.output("nft", "list", "tables")


def test_what_other_threads_of_the_process_change_is_left_out(host: "Host") -> None:
    def opened() -> Watch:
        with entered(host.path):
            return Watch()

    with ThreadPoolExecutor(1) as thread, closing(thread.submit(opened).result()) as watching:
        host.run(put_table, "own")
        nft(host, "add table ip other")

        assert tables(told(watching, has_tables((IP, "other")))) == [(IP, "other")]


def test_own_and_others_changes_are_told_apart_in_a_namespace_of_process_numbers() -> None:
    script = (
        "import subprocess; from drivers.watch import Watch;"
        "from tests.kernel.test_watch import put_table, tables;"
        "w = Watch(); put_table('own'); subprocess.run(['nft', 'add table ip other'], check=True);"
        "print(tables(w.read()))"
    )
    words = ("unshare", "--net", "--pid", "--fork", "--mount-proc", sys.executable, "-c", script)

    done = subprocess.run(words, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == (f"[({IP}, 'other')]\n", "")


def test_what_was_too_much_is_told_as_lost(host: "Host", monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drivers.watch.BUFFER_BYTES", 4096)
    with closing(host.run(Watch)) as watching:
        for number in range(20):
            host.output("ip", "link", "add", f"a{number}", "type", "veth", "peer", f"b{number}")
            nft(host, *(f"add table ip t{number}x{n}" for n in range(20)))

        found = told(watching, has(Lost()))
        assert found.count(Lost()) == 1 and watching.read() == []

        nft(host, "add table ip afterwards")
        host.output("ip", "address", "add", "10.1.2.3/24", "dev", "lo")
        address = AddressChange(1, ip_interface("10.1.2.3/24"), gone=False)
        found = told(watching, lambda found: has(address)(found) and tables(found))
        assert tables(found) == [(IP, "afterwards")]


def test_only_the_own_namespace_is_told_of(host: "Host", watching: Watch) -> None:
    box = host.sandbox("box")
    host.output("ip", "address", "add", "10.9.9.9/24", "dev", "lo", inside=box)
    host.output("nft", "add table ip elsewhere", inside=box)
    nft(host, "add table ip here")

    assert told(watching, has_tables((IP, "here")))[:-1] == []


def test_a_kernel_without_nftables_is_watched_without(
    host: "Host", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("drivers.watch.GET_GENERATION", 255 << 8)  # as good as absent
    with closing(host.run(Watch)) as watching:
        nft(host, "add table ip one")
        host.output("ip", "address", "add", "10.1.2.3/24", "dev", "lo")
        address = AddressChange(1, ip_interface("10.1.2.3/24"), gone=False)

        assert told(watching, has(address)) == [address]
        with pytest.raises(OSError, match="Invalid argument"):
            host.run(generation)


def test_a_watch_that_may_not_be_opened_says_why_and_leaves_nothing() -> None:
    script = """
import os
from drivers.contract import DriverError
from drivers.watch import Watch
os.setresuid(65534, 65534, 65534)
before = os.dup(1)
os.close(before)
try:
    Watch()
except DriverError as error:
    print(error, os.dup(1) == before)
"""

    done = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
    )

    words = "changes of the network cannot be watched: Operation not permitted"
    assert (done.stdout, done.stderr) == (f"{words} True\n", "")


def test_nothing_stays_open_after_closing(host: "Host") -> None:
    before = descriptors()

    watching = host.run(Watch)
    assert descriptors() == before + len(watching.filenos()) == before + 2
    watching.close()
    watching.close()

    assert descriptors() == before


def test_the_generation_rises_with_each_transaction(host: "Host") -> None:
    before = host.run(generation)

    nft(host, "add table ip one", "add table ip two")
    after = host.run(generation)
    host.command("nft", "delete table ip absent")

    assert after == before + 1 == host.run(generation)
