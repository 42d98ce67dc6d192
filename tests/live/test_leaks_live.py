"""What is left after containers and networks have come and gone: nothing.

Looked for with the kernel's own lists, before and after. The first lives of each kind come before
the first list, so that what is opened once and kept does not count.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest

from labs.host import Host
from tests.leaks import Scope, inventory, settled
from tests.live.reaching import bound
from tests.rawapi import Api, ApiError

pytestmark = pytest.mark.kernel

LIVES = 100
AT_ONCE = 3
GROWTH_KIB = 4096
DEADLINE_S = 10

SLEEP = ("sleep", "1000")
TALK = ("sh", "-c", "echo one; echo two >&2; seq 500; sleep 0.1")


@pytest.fixture
def networks(host: Host) -> None:
    """Make two networks of both families; they go with the test."""
    for name in ("front", "back"):
        host.netd("network", "create", "--ipv6", name)


@contextmanager
def nothing_left(host: Host) -> Iterator[list[str]]:
    """Compare what there is after the block with before; it may add ids of its containers."""
    ids: list[str] = []
    daemon = Scope(folders=(host.folder,), pid=daemon_pid(host), netns=namespace(host))
    helpers = [Scope(pid=helper(host, name)) for name in ("dns.server", "drivers.ports")]
    await_ports(host)
    before, files = inventory(daemon), entries(host)
    helpers_before = [*map(inventory, helpers)]

    yield ids

    assert settled(before, replace(daemon, names=tuple(ids)), DEADLINE_S) == []
    for each, each_before in zip(helpers, helpers_before, strict=True):
        assert settled(each_before, each, DEADLINE_S) == []
    assert entries(host) == files


def await_ports(host: Host) -> None:
    """Wait until the kernel has removed the ports of namespaces that went a moment ago."""
    with Api(host.socket) as api:
        running = api.call("GET", "/containers/json")
    wanted = sum(len(each["NetworkSettings"]["Networks"]) for each in running)
    deadline = time.monotonic() + DEADLINE_S
    while len(host.inside("ip", "-o", "link", "show", "type", "veth").splitlines()) != wanted:
        assert time.monotonic() < deadline, "ports of ended containers stay"
        time.sleep(0.05)


def daemon_pid(host: Host) -> int:
    assert host.daemon is not None
    return host.daemon.pid


def namespace(host: Host) -> Path:
    return Path(f"/proc/{daemon_pid(host)}/ns/net")


def helper(host: Host, name: str) -> int | None:
    """Return the pid of a process of the daemon's; absent: nothing has needed it yet."""
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it ended meanwhile
            words = path.read_bytes().split(b"\0")
            if name.encode() in words and bytes(host.folder / "run") in b"".join(words):
                return int(path.parent.name)
    return None


def entries(host: Host) -> Sequence[str]:
    """List all files but the images' contents."""
    places = (host.folder / name for name in ("run", "data/containers", "data/tmp"))
    return sorted(str(path) for place in places for path in place.rglob("*"))


def resident_kib(host: Host) -> int:
    status = Path(f"/proc/{daemon_pid(host)}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


# Lives of a container: each makes one, puts it through something, and removes it.


def short(api: Api, name: str) -> str:
    id_ = api.created(name, ["true"], "front")
    api.start(id_)
    api.wait(id_)
    api.remove(id_)
    return id_


def self_removing(api: Api, name: str) -> str:
    id_ = api.created(name, ["true"], "front", AutoRemove=True)
    with api.opened("POST", f"/containers/{id_}/wait?condition=removed") as removed:
        with Api(api.path) as other:
            other.start(id_)
        assert json.loads(removed.read())["StatusCode"] == 0
    return id_


def attached(api: Api, name: str) -> str:
    id_ = api.created(name, TALK, "front")
    with api.opened("POST", f"/containers/{id_}/attach?stdout=1&stderr=1&stream=1") as output:
        with Api(api.path) as other:
            other.start(id_)
        assert b"one\n" in output.read()
    api.wait(id_)
    api.remove(id_)
    return id_


def followed(api: Api, name: str) -> str:
    id_ = api.created(name, TALK, "front")
    api.start(id_)
    assert b"500\n" in api.octets("GET", f"/containers/{id_}/logs?stdout=1&follow=1")
    api.wait(id_)
    api.remove(id_)
    return id_


def executed_in(api: Api, name: str) -> str:
    id_ = api.created(name, SLEEP, "front")
    api.start(id_)
    assert api.executed(id_, "echo", "hello") == (0, b"hello\n")
    lasting = api.call("POST", f"/containers/{id_}/exec", {"Cmd": SLEEP})["Id"]
    api.call("POST", f"/exec/{lasting}/start", {"Detach": True})
    api.remove(id_)
    return id_


def moved_about(api: Api, name: str) -> str:
    id_ = api.created(name, SLEEP, "front")
    api.start(id_)
    for verb in ("connect", "disconnect", "connect"):
        api.call("POST", f"/networks/back/{verb}", {"Container": id_})
    api.call("POST", f"/containers/{id_}/kill")
    api.start(id_)
    api.remove(id_)
    return id_


def published(api: Api, name: str) -> str:
    ports = {"80/tcp": [{"HostPort": ""}], "5000-5009/udp": [{"HostPort": ""}]}
    id_ = api.created(name, SLEEP, "front", PortBindings={**ports})
    api.start(id_)
    added = {"PortBindings": {"81/tcp": [{"HostPort": ""}, {"HostIp": "127.0.0.1"}]}}
    api.call("POST", f"/netd/containers/{id_}/ports", added)
    for verb, network in (("connect", "back"), ("disconnect", "front")):
        api.call("POST", f"/networks/{network}/{verb}", {"Container": id_})
    api.call("DELETE", f"/netd/containers/{id_}/ports", {"PortBindings": {"81/tcp": [{}]}})
    api.call("POST", f"/containers/{id_}/kill")
    api.start(id_)
    api.remove(id_)
    return id_


LIVES_OF_ALL_KINDS: Sequence[Callable[[Api, str], str]] = (
    short, self_removing, attached, followed, executed_in, moved_about, published,
)  # fmt: skip


def lived(host: Host, count: int, prefix: str) -> list[str]:
    """Go through so many lives, several at once; return the containers' ids."""

    def some(first: int) -> list[str]:
        with Api(host.socket) as api:
            return [
                LIVES_OF_ALL_KINDS[number % len(LIVES_OF_ALL_KINDS)](api, f"{prefix}{number}")
                for number in range(first, count, AT_ONCE)
            ]

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return [id_ for ids in threads.map(some, range(AT_ONCE)) for id_ in ids]


def test_a_hundred_lives_leave_nothing_behind(host: Host, networks: None) -> None:
    lived(host, 2 * len(LIVES_OF_ALL_KINDS), "first")

    with nothing_left(host) as ids:
        resident = resident_kib(host)
        ids.extend(lived(host, LIVES, "life"))

    assert resident_kib(host) - resident < GROWTH_KIB


@pytest.mark.parametrize("host", ["nftables"], indirect=True)
def test_lives_leave_nothing_behind_in_nftables(host: Host, networks: None) -> None:
    lived(host, 2 * len(LIVES_OF_ALL_KINDS), "first")

    with nothing_left(host) as ids:
        ids.extend(lived(host, 3 * len(LIVES_OF_ALL_KINDS), "life"))


def test_starts_that_fail_leave_nothing_behind(host: Host, networks: None) -> None:
    def failing(name: str) -> list[str]:
        taken = {"80/tcp": [{"HostPort": "8080"}], "81/tcp": [{"HostPort": "8081"}]}
        with Api(host.socket) as api, bound(namespace(host), "tcp", "127.0.0.1", 8081):
            ids = [
                api.created(f"{name}-missing", ["no-such-command"], "front"),
                api.created(f"{name}-folder", ["/etc"], "front"),
                api.created(f"{name}-gone", ["no-such-command"], "front", AutoRemove=True),
                api.created(f"{name}-port", ["true"], "front", PortBindings=taken),
                api.created(f"{name}-sysctl", ["true"], "front", Sysctls={"net.ipv4.no": "1"}),
            ]
            for id_ in ids:
                with pytest.raises(ApiError):
                    api.start(id_)
                with suppress(ApiError):  # one that removes itself is gone already
                    api.remove(id_)
            assert api.call("GET", "/containers/json?all=1") == []
        return ids

    failing("first")

    with nothing_left(host) as ids:
        for number in range(5):
            ids.extend(failing(f"fails{number}"))


def test_starts_that_fail_give_their_addresses_back(host: Host) -> None:
    host.netd("network", "create", "--subnet", "10.250.0.0/29", "small")
    with Api(host.socket) as api:
        # Another name each time: a name gets the address that it had before.
        for number in range(8):
            id_ = api.created(f"fails{number}", ["no-such-command"], "small")
            with pytest.raises(ApiError, match="no-such-command"):
                api.start(id_)


def test_execs_that_fail_leave_nothing_behind(host: Host, networks: None) -> None:
    def failing() -> None:
        with Api(host.socket) as api:
            assert api.executed("web", "no-such-command")[0] == 127
            assert api.executed("web", "/etc")[0] == 126

    host.netd("run", "-d", "--name", "web", "--network", "front", "demo", *SLEEP)
    failing()

    with nothing_left(host):
        for _ in range(5):
            failing()


def test_networks_that_come_and_go_leave_nothing_behind(host: Host) -> None:
    def come_and_go(times: int) -> None:
        with Api(host.socket) as api:
            for number in range(times):
                wanted = {"Name": f"net{number}", "EnableIPv6": True, "Internal": number % 2 == 0}
                api.call("POST", "/networks/create", wanted)
                with pytest.raises(ApiError):
                    api.call("POST", "/networks/create", wanted)
                api.call("DELETE", f"/networks/net{number}")

    come_and_go(2)

    with nothing_left(host):
        resident = resident_kib(host)
        come_and_go(20)

    assert resident_kib(host) - resident < GROWTH_KIB


def test_clients_that_go_away_leave_nothing_behind(host: Host, networks: None) -> None:
    def all_go_away() -> None:
        for method, path in (
            ("GET", "/containers/web/logs?stdout=1&follow=1"),
            ("POST", "/containers/web/attach?stdout=1&stderr=1&stream=1"),
            ("POST", "/containers/web/wait?condition=next-exit"),
            ("GET", "/events"),
        ):
            with Api(host.socket) as api:
                api.opened(method, path).close()
        with Api(host.socket) as api:
            wanted = {"Cmd": ["cat"], "AttachStdin": True, "AttachStdout": True}
            exec_ = api.call("POST", "/containers/web/exec", wanted)["Id"]
            api.opened("POST", f"/exec/{exec_}/start", {}).close()
        with Api(host.socket) as api:  # its input has ended, so it does
            wait_for(lambda: not api.call("GET", f"/exec/{exec_}/json")["Running"])

    talkative = ("ping", "-i", "0.1", "127.0.0.1")
    host.netd("run", "-d", "--name", "web", "--network", "front", "demo", *talkative)
    all_go_away()

    with nothing_left(host):
        for _ in range(5):
            all_go_away()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"not so within {DEADLINE_S} seconds"
        time.sleep(0.01)
