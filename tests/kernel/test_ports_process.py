"""How the process that holds ports lives beside its clients."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from drivers.ports import Hold, PortsClient, PortsError
from tests.kernel.holding import ANY4, ANY6, bound, end, holding, keys, start, until

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]
DUAL = Hold("tcp", ANY6, 8080, dual=True)


@pytest.fixture
async def path(tmp_path: Path):
    path = tmp_path / "ports.sock"
    yield path
    await end(path)


@pytest.fixture
async def client(host, path: Path):
    async with holding(host, path) as client:
        yield client


def alive(pid: int) -> bool:
    """Return whether the process runs: one that nobody waited for yet does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


async def test_the_process_goes_on_without_a_client_and_is_adopted(host, client, path) -> None:
    await client.hold([DUAL])
    await client.close()
    with pytest.raises(OSError, match="in use"):
        bound(host, "tcp", ANY4, 8080)

    adopted = await PortsClient.adopt(path)
    assert adopted
    opened = await PortsClient.open(path)

    assert client.pid == adopted.pid == opened.pid
    assert await opened.held() == keys(DUAL)
    await adopted.close()
    await opened.close()


async def test_where_no_process_runs_none_is_adopted(path) -> None:
    assert await PortsClient.adopt(path) is None
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert await PortsClient.adopt(path) is None


async def test_the_newest_client_wins(client, path) -> None:
    newest = await PortsClient.open(path)

    async with asyncio.timeout(5):
        await client.closed.wait()
    with pytest.raises(PortsError):
        await client.hold([DUAL])

    await newest.hold([DUAL])
    await newest.close()


async def test_a_dead_process_is_noticed_and_another_one_started(host, client, path) -> None:
    await client.hold([DUAL])
    os.kill(client.pid, signal.SIGKILL)

    async with asyncio.timeout(5):
        await client.closed.wait()
    with pytest.raises(PortsError):
        await client.release([DUAL])
    start(host, path)
    again = await PortsClient.open(path)

    assert again.pid != client.pid
    await again.hold([DUAL])
    await again.close()


async def test_calls_under_way_fail_when_the_process_dies(client) -> None:
    os.kill(client.pid, signal.SIGSTOP)
    calls = [asyncio.create_task(client.hold([DUAL])) for _ in range(10)]
    await asyncio.sleep(0)

    os.kill(client.pid, signal.SIGKILL)
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert {type(result) for result in results} == {PortsError}


async def test_calls_from_many_tasks_are_all_done(client) -> None:
    holds = [Hold("tcp", ANY4, port) for port in range(8000, 8100)]

    await asyncio.gather(*(client.hold([hold]) for hold in holds))

    assert await client.held() == keys(*holds)


async def test_a_cancelled_call_does_not_disturb_the_next(client) -> None:
    calls = [asyncio.create_task(client.held()) for _ in range(20)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()

    await client.hold([DUAL])

    assert await client.held() == keys(DUAL)


@pytest.mark.parametrize(
    "octets",
    [b"\xff\0", b"{}\n", b'{"verb":"fly"}\n', b'{"verb":"hold"}\n', b"[" * 100_000 + b"\n"],
    ids=["no line", "no verb", "wrong verb", "no holds", "deep"],
)
async def test_a_client_that_talks_nonsense_does_no_harm(client, path, octets) -> None:
    await client.hold([DUAL])
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(path))
        stranger.sendall(octets)

        assert await client.held() == keys(DUAL)

    assert not client.closed.is_set()


async def test_a_line_without_end_ends_its_connection_only(client, path) -> None:
    with socket.socket(socket.AF_UNIX) as stranger, suppress(ConnectionError):
        stranger.connect(str(path))
        while True:
            stranger.sendall(bytes(1 << 20))

    assert await client.held() == set()


async def test_shutdown_returns_when_the_process_is_gone(host, client, path) -> None:
    await client.hold([DUAL])

    await client.shutdown()

    assert not alive(client.pid)
    assert not path.exists()
    bound(host, "tcp", ANY4, 8080).close()


async def test_sigterm_ends_the_process_cleanly(client, path) -> None:
    os.kill(client.pid, signal.SIGTERM)

    await until(lambda: not alive(client.pid) and client.closed.is_set())

    assert not path.exists()


async def test_only_the_owner_may_connect(client, path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_the_process_is_detached_and_can_be_recognised(host, path, tmp_path) -> None:
    log = tmp_path / "ports.log"
    mine = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(mine, True)
    start(host, path, log)
    os.close(mine)
    client = await PortsClient.open(path)
    links = {each.name: str(each.readlink()) for each in Path(f"/proc/{client.pid}/fd").iterdir()}

    assert os.getsid(client.pid) == client.pid != os.getsid(0)
    assert os.getpgid(client.pid) == client.pid
    assert Path(f"/proc/{client.pid}/cwd").readlink() == Path("/")
    assert str(path).encode() in Path(f"/proc/{client.pid}/cmdline").read_bytes().split(b"\0")
    assert [links.pop(number) for number in "012"] == ["/dev/null", str(log), str(log)]
    assert not {str(log), str(tmp_path)} & set(links.values())
    await client.close()


def test_the_process_loads_nothing_large() -> None:
    script = "import sys, drivers.ports.__main__; print(*sys.modules)"
    words = [sys.executable, "-c", script]
    modules = subprocess.check_output(words, cwd=ROOT, text=True).split()

    assert not {"pyroute2", "iptc", "msgspec", "aiohttp", "dnslib"} & set(modules)


async def test_the_process_lives_where_its_starter_does(host, client) -> None:
    assert Path(f"/proc/{client.pid}/ns/net").stat().st_ino == host.path.stat().st_ino


async def test_those_who_start_at_once_get_one_process(path) -> None:
    clients = await asyncio.gather(*(PortsClient.open(path) for _ in range(4)))

    assert len({client.pid for client in clients}) == 1
    for client in clients:
        await client.close()


async def test_a_process_that_cannot_start_says_why(tmp_path) -> None:
    with pytest.raises(PortsError, match=r"nowhere.*No such file"):
        await PortsClient.open(tmp_path / "nowhere" / "ports.sock")
    with pytest.raises(PortsError, match="AF_UNIX path too long"):
        await PortsClient.open(tmp_path / ("x" * 120))
    with pytest.raises(PortsError, match=r"nowhere"):
        await PortsClient.open(tmp_path / "ports.sock", tmp_path / "nowhere" / "ports.log")
    assert not (tmp_path / "ports.sock").exists()


async def test_a_file_in_the_sockets_place_is_left_alone(tmp_path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")

    with pytest.raises(PortsError, match="Address already in use"):
        await PortsClient.open(path)

    assert path.read_text() == "mine"


@pytest.mark.parametrize("opening", [PortsClient.open, PortsClient.adopt])
async def test_a_process_of_another_version_is_ended(path, opening: Callable) -> None:
    script = (
        "import runpy, drivers.ports.protocol as p; p.PROTOCOL_VERSION = 99;"
        "runpy.run_module('drivers.ports', run_name='__main__', alter_sys=True)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT) as other:
        try:
            await until(lambda: listens(path))

            client = await opening(path)

            assert other.wait(10) == 0
        finally:
            other.kill()
    if client:
        assert client.pid != other.pid
        await client.close()


def listens(path: Path) -> bool:
    """Whether somebody answers there: the file is there a moment before."""
    with socket.socket(socket.AF_UNIX) as asking:
        return asking.connect_ex(str(path)) == 0
