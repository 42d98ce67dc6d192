"""The inventory that other tests find leaks with."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.leaks import Inventory, Scope, difference, inventory, settled

pytestmark = pytest.mark.kernel


@contextmanager
def process(*command: str) -> Iterator[int]:
    """Run a command that stays until the block ends."""
    with subprocess.Popen(command) as child:
        try:
            yield child.pid
        finally:
            child.kill()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "not so within 5 seconds"
        time.sleep(0.01)


@contextmanager
def namespace() -> Iterator[int]:
    """Make a network namespace; yield the process that holds it."""
    own = Path("/proc/self/ns/net").readlink()
    with process("unshare", "--net", "sleep", "600") as pid:
        wait_for(lambda: Path(f"/proc/{pid}/ns/net").readlink() != own)
        yield pid


@pytest.fixture
def host() -> Iterator[int]:
    with namespace() as pid:
        yield pid


@pytest.fixture
def undo() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def run(*command: str) -> None:
    subprocess.run(command, check=True)


def inside(pid: int, *command: str) -> None:
    run("nsenter", f"--net=/proc/{pid}/ns/net", *command)


def added(before: Inventory, scope: Scope) -> list[str]:
    return difference(before, inventory(scope))


def test_links_addresses_and_routes_of_the_namespace_are_told_apart(host: int) -> None:
    scope = Scope(netns=host)
    before = inventory(scope)
    inside(host, "ip", "link", "add", "nd-1", "type", "bridge")
    inside(host, "ip", "link", "add", "nd-2", "master", "nd-1", "type", "veth", "peer", "nd-3")
    inside(host, "ip", "address", "add", "10.9.0.1/24", "dev", "nd-1")
    inside(host, "ip", "link", "set", "nd-1", "up")

    assert added(before, scope) == [
        "link nd-1 (bridge) appeared",
        "link nd-2 (veth, port of nd-1) appeared",
        "link nd-3 (veth) appeared",
        "address 10.9.0.1/24 on nd-1 appeared",
        "route 10.9.0.0/24 dev nd-1 appeared",
    ]

    inside(host, "ip", "link", "del", "nd-2")
    inside(host, "ip", "link", "del", "nd-1")
    assert settled(before, scope) == []


def test_a_thing_that_is_gone_is_told_too(host: int) -> None:
    inside(host, "ip", "link", "add", "foreign", "type", "bridge")
    scope = Scope(netns=Path(f"/proc/{host}/ns/net"))
    before = inventory(scope)

    inside(host, "ip", "link", "del", "foreign")

    assert added(before, scope) == ["link foreign (bridge) is gone"]


@pytest.mark.parametrize("program", ["iptables", "ip6tables"])
def test_rules_chains_and_policies_are_listed_without_counters(host: int, program: str) -> None:
    scope = Scope(netns=host)
    before = inventory(scope)
    tool = f"{program}-legacy"
    inside(host, tool, "-t", "nat", "-N", "NETD")
    inside(host, tool, "-t", "nat", "-A", "NETD", "-p", "udp", "-j", "RETURN")
    inside(host, tool, "-P", "FORWARD", "DROP")

    assert added(before, scope) == [
        f"rule {program} -t filter -P FORWARD DROP appeared",
        f"rule {program} -t nat -A NETD -p udp -j RETURN appeared",
        f"rule {program} -t nat :NETD - appeared",
    ]

    inside(host, tool, "-t", "nat", "-F", "NETD")
    inside(host, tool, "-t", "nat", "-X", "NETD")
    inside(host, tool, "-P", "FORWARD", "ACCEPT")
    assert settled(before, scope) == []


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
def test_rules_of_nftables_are_listed_with_their_chain(host: int) -> None:
    scope = Scope(netns=host)
    before = inventory(scope)
    inside(host, "nft", "add table ip netd; add chain ip netd front; add rule ip netd front drop")

    assert added(before, scope) == [
        "rule nft table ip netd appeared",
        "rule nft table ip netd chain front appeared",
        "rule nft table ip netd chain front drop appeared",
    ]


def test_mounts_and_bound_namespaces_below_the_folders_are_listed(
    tmp_path: Path, host: int, undo: ExitStack
) -> None:
    scope = Scope(folders=(tmp_path / "run",))
    point, bound = tmp_path / "run" / "a b", tmp_path / "run" / "netns"
    point.mkdir(parents=True)
    bound.touch()
    before = inventory(scope)
    for source, target in (("-ttmpfs", point), ("--bind", bound)):
        what = "tmpfs" if target == point else f"/proc/{host}/ns/net"
        run("mount", source, what, str(target))
        undo.callback(run, "umount", str(target))

    assert added(before, scope) == [
        f"namespace net bound at {bound} appeared",
        f"mount tmpfs on {point} appeared",
    ]

    undo.close()
    assert settled(before, scope) == []


def test_a_mount_from_the_folders_is_listed_wherever_it_is(tmp_path: Path, undo: ExitStack) -> None:
    scope = Scope(folders=(tmp_path / "data",))
    before = inventory(scope)
    elsewhere = overlay(tmp_path, tmp_path / "elsewhere")
    run(*elsewhere)
    undo.callback(run, "umount", elsewhere[-1])

    assert added(before, scope) == [f"mount overlay on {elsewhere[-1]} appeared"]


def overlay(base: Path, point: Path) -> Sequence[str]:
    """Return the command that mounts an overlay of base/data."""
    folders = {f"{kind}dir": base / "data" / kind for kind in ("lower", "upper", "work")}
    for folder in (*folders.values(), point):
        folder.mkdir(parents=True)
    options = ",".join(f"{key}={value}" for key, value in folders.items())
    return ("mount", "-t", "overlay", "overlay", "-o", options, str(point))


def test_a_process_that_mentions_the_folders_is_listed(tmp_path: Path) -> None:
    scope = Scope(folders=(tmp_path / "run",))
    before = inventory(scope)
    words = ("sh", "-c", "read line", f"--socket={tmp_path}/run/netd.sock")

    read, write = os.pipe()
    with subprocess.Popen(words, stdin=read) as child:
        assert added(before, scope) == [f"process {child.pid}: {' '.join(words)} appeared"]
        os.close(write)
        os.close(read)

    assert settled(before, scope) == []


def test_a_folder_of_a_similar_name_is_another_one(tmp_path: Path) -> None:
    scope = Scope(folders=(tmp_path / "run",))

    with process("tail", "-f", "/dev/null", f"--pid={os.getpid()}", "--", f"{tmp_path}/run-2"):
        assert inventory(scope) == Inventory()


def test_a_process_whose_root_is_a_mount_from_the_folders_is_listed(tmp_path: Path) -> None:
    scope = Scope(folders=(tmp_path / "data",))
    mount = overlay(tmp_path, tmp_path / "root")
    busybox = shutil.which("busybox")
    assert busybox is not None
    shutil.copy(busybox, tmp_path / "data" / "lower" / "busybox")
    script = '"$@" && exec chroot "$0" /busybox sleep 600'

    with process("unshare", "--mount", "sh", "-c", script, mount[-1], *mount) as pid:
        listed = (f"{pid}: /busybox sleep 600",)
        wait_for(lambda: inventory(scope).processes == listed)

    assert inventory(scope) == Inventory()


def test_descendants_are_listed_and_so_are_those_that_nobody_waited_for() -> None:
    scope = Scope(pid=os.getpid())
    with subprocess.Popen(["true"]) as child:
        wait_for(lambda: inventory(scope).processes == (f"{child.pid}: true (zombie)",))

    assert inventory(scope).processes == ()


def test_open_files_are_counted_by_what_they_are(tmp_path: Path) -> None:
    scope = Scope(pid=os.getpid())
    before = inventory(scope)
    with ExitStack() as files:
        for family in (socket.AF_UNIX, socket.AF_NETLINK):
            files.enter_context(socket.socket(family, socket.SOCK_DGRAM)).bind(
                str(tmp_path / "s") if family == socket.AF_UNIX else (0, 0)
            )
        for end in os.pipe():
            files.callback(os.close, end)
        files.enter_context((tmp_path / "f").open("w"))
        files.enter_context(Path("/proc/self/ns/net").open("rb"))

        assert added(before, scope) == [
            f"open file {tmp_path}/f appeared",
            "open file net namespace appeared",
            "open file netlink socket appeared",
            "open file pipe appeared 2 times",
            f"open file unix socket {tmp_path}/s appeared",
        ]

    assert added(before, scope) == []


def test_cgroups_are_found_by_name(undo: ExitStack) -> None:
    mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    point = next(Path(words[1]) for words in mounts if words[2].startswith("cgroup"))
    name = f"leaks-test-{os.getpid()}"
    scope = Scope(names=(name,))
    before = inventory(scope)
    (point / name).mkdir()
    undo.callback((point / name).rmdir)

    assert added(before, scope) == [f"cgroup {point / name} appeared"]


def test_other_namespaces_and_folders_do_not_disturb(tmp_path: Path, host: int) -> None:
    scope = Scope(folders=(tmp_path / "mine",), netns=host, names=("mine",))
    before = inventory(scope)

    with namespace() as other, process("sleep", "600"):
        inside(other, "ip", "link", "add", "nd-1", "type", "bridge")
        inside(other, "iptables-legacy", "-N", "NETD")
        run("mount", "-t", "tmpfs", "tmpfs", str(tmp_path))
        try:
            assert added(before, scope) == []
        finally:
            run("umount", str(tmp_path))


def test_what_never_settles_is_told_at_the_deadline(host: int) -> None:
    scope = Scope(netns=host)
    before = inventory(scope)
    inside(host, "ip", "link", "add", "nd-1", "type", "bridge")

    assert settled(before, scope, timeout_s=0.1) == ["link nd-1 (bridge) appeared"]


def test_a_namespace_that_ended_has_nothing_in_it() -> None:
    with namespace() as pid:
        scope = Scope(netns=pid)
        assert inventory(scope).links

    assert inventory(scope) == Inventory()
