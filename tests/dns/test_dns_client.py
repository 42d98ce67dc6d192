"""The server's process and its client, end to end with real sockets."""

import asyncio
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from dns.client import DnsClient, DnsServerError
from dns.control import EndpointRecords, NetworkRecords, Snapshot, View

ROOT = Path(__file__).resolve().parents[2]
INSIDE = View("inside", ("front", "back"))


@pytest.fixture
async def path(tmp_path: Path):
    """Return a control socket's path; whatever serves there in the end is ended."""
    path = tmp_path / "dns.sock"
    yield path
    if path.exists():
        client = await DnsClient.open(path)
        await client.shutdown()


@pytest.fixture
async def client(path: Path):
    client = await DnsClient.open(path)
    yield client
    await client.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Return whether the process runs: one that nobody waited for yet does not."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


def descriptors(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


async def open_view(client: DnsClient, snapshot: Snapshot, sockets, view: View = INSIDE) -> int:
    await client.synchronise(snapshot)
    udp, tcp = sockets
    port = int(udp.getsockname()[1])
    await client.open_view(view, udp, tcp)
    udp.close()
    tcp.close()
    return port


async def test_the_server_answers_on_the_sockets_it_is_handed(
    client, snapshot, sockets, asker
) -> None:
    port = await open_view(client, snapshot, sockets)

    by_udp = await asker.ask(port, asker.question("web.front"))
    by_tcp = await asker.ask_stream(port, asker.question("DB"))

    assert asker.values(by_udp) == ["10.1.0.2"]
    assert asker.values(by_tcp[0]) == ["10.2.0.4"]
    assert asker.code(await asker.ask(port, asker.question("example.org"))) == "NXDOMAIN"


async def test_packets_of_all_kinds_leave_the_server_answering(
    client, snapshot, sockets, asker
) -> None:
    port = await open_view(client, snapshot, sockets)
    with socket.socket(type=socket.SOCK_DGRAM) as bad:
        bad.connect(("127.0.0.1", port))
        for size in range(200):
            bad.send(os.urandom(size))

    assert asker.values(await asker.ask(port, asker.question("db"))) == ["10.2.0.4"]


async def test_changes_are_effective_when_their_call_returns(
    client, snapshot, sockets, asker
) -> None:
    port = await open_view(client, snapshot, sockets)
    new = EndpointRecords("e9", "third", ("new",), (ip_address("10.3.0.9"),), "new.third")

    async def answer(name: str) -> list[str]:
        return asker.values(await asker.ask(port, asker.question(name)))

    await client.put_network(NetworkRecords("third", "third"))
    await client.put_endpoint(new)
    assert await answer("new") == []
    await client.put_view(replace(INSIDE, networks=("third",)))
    assert await answer("new") == ["10.3.0.9"]
    assert await answer("web") == []
    await client.put_network(NetworkRecords("third", "renamed"))
    assert await answer("new.renamed") == ["10.3.0.9"]
    await client.remove_endpoint("e9")
    assert await answer("new") == []
    await client.put_endpoint(new)
    await client.remove_network("third")
    assert await answer("new") == []


async def test_upstreams_may_be_changed_at_any_time(
    client, snapshot, sockets, asker, upstream
) -> None:
    def refusing(packet: bytes) -> list[bytes]:
        reply = asker.question("x").parse(packet).reply()
        return [bytes(reply.pack())]

    port = await open_view(client, snapshot, sockets)
    server = upstream(refusing)

    await client.put_view(replace(INSIDE, upstreams=((ip_address("127.0.0.1"), server.port),)))

    assert asker.code(await asker.ask(port, asker.question("example.org"))) == "NOERROR"
    assert len(server.questions) == 1


async def test_questions_during_a_synchronisation_find_their_names(
    client, snapshot, sockets, asker
) -> None:
    port = await open_view(client, snapshot, sockets)
    full = replace(snapshot, views=(INSIDE,))

    async def synchronise() -> None:
        for _ in range(50):
            await client.synchronise(full)

    synchronising = asyncio.create_task(synchronise())
    answers = set()
    while not synchronising.done():
        answers.add(len((await asker.ask(port, asker.question("web"))).rr))

    assert answers == {2}
    await synchronising


async def test_synchronising_tells_which_views_are_open_and_closes_the_others(
    client, snapshot, sockets
) -> None:
    port = await open_view(client, snapshot, sockets)

    kept = await client.synchronise(replace(snapshot, views=(INSIDE, View("not open", ()))))
    gone = await client.synchronise(replace(snapshot, views=()))

    assert (kept, gone) == ({"inside"}, frozenset())
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_refused_snapshot_changes_nothing(client, snapshot, sockets, asker) -> None:
    port = await open_view(client, snapshot, sockets)

    with pytest.raises(DnsServerError, match="e1 is on no known network: front"):
        await client.synchronise(replace(snapshot, networks=()))

    assert asker.values(await asker.ask(port, asker.question("db"))) == ["10.2.0.4"]


async def test_a_closed_view_has_no_sockets(client, snapshot, sockets) -> None:
    before = descriptors(client.pid)
    port = await open_view(client, snapshot, sockets)

    await client.close_view("inside")
    await client.close_view("inside")

    assert descriptors(client.pid) == before
    with socket.socket(type=socket.SOCK_DGRAM) as udp, socket.socket() as tcp:
        udp.bind(("127.0.0.1", port))
        tcp.bind(("127.0.0.1", port))


async def test_sockets_given_again_take_the_place_of_the_former(
    client, snapshot, sockets, asker
) -> None:
    former = await open_view(client, snapshot, sockets)
    before = descriptors(client.pid)
    with (
        socket.socket(type=socket.SOCK_DGRAM) as udp,
        socket.create_server(("127.0.0.1", 0)) as tcp,
    ):
        udp.bind(tcp.getsockname())
        port = tcp.getsockname()[1]

        await client.open_view(INSIDE, udp, tcp)

    assert asker.values(await asker.ask(port, asker.question("db"))) == ["10.2.0.4"]
    assert descriptors(client.pid) == before
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", former)


async def test_wrong_sockets_are_refused_and_not_kept(client, sockets) -> None:
    udp, tcp = sockets
    before = descriptors(client.pid)

    with pytest.raises(DnsServerError, match="no bound UDP and listening TCP socket"):
        await client.open_view(INSIDE, tcp, udp)
    with socket.socket() as deaf, pytest.raises(DnsServerError, match="listening TCP socket"):
        await client.open_view(INSIDE, udp, deaf)
    with Path(os.devnull).open() as file, pytest.raises(DnsServerError, match="is no socket"):
        await client.open_view(INSIDE, udp, file)

    assert descriptors(client.pid) == before


async def test_calls_from_many_tasks_are_all_done(client, snapshot, sockets, asker) -> None:
    port = await open_view(client, snapshot, sockets)

    await asyncio.gather(
        *(
            client.put_endpoint(
                EndpointRecords(f"n{n}", "front", (f"n{n}",), (ip_address("10.1.1.0") + n,), "p")
            )
            for n in range(500)
        )
    )

    assert asker.values(await asker.ask(port, asker.question("n499"))) == ["10.1.2.243"]


async def test_a_cancelled_call_does_not_disturb_the_next(client, snapshot, sockets, asker) -> None:
    port = await open_view(client, snapshot, sockets)
    calls = [asyncio.create_task(client.remove_endpoint(f"e{number}")) for number in range(20)]
    await asyncio.sleep(0)
    for call in calls:
        call.cancel()

    await client.put_network(NetworkRecords("third", "third"))
    await client.put_endpoint(EndpointRecords("e4", "back", ("db",), (ip_address("::4"),), "db"))

    assert asker.values(await asker.ask(port, asker.question("db", "AAAA"))) == ["::4"]


async def test_the_server_goes_on_without_a_client_and_takes_the_next(
    client, path, snapshot, sockets, asker
) -> None:
    port = await open_view(client, snapshot, sockets)
    await client.close()
    without = asker.values(await asker.ask(port, asker.question("db")))

    again = await DnsClient.open(path)

    assert again.pid == client.pid
    assert without == asker.values(await asker.ask(port, asker.question("db"))) == ["10.2.0.4"]
    assert await again.synchronise(snapshot) == {"inside"}
    await again.close()


async def test_the_newest_client_wins(client, path) -> None:
    newest = await DnsClient.open(path)

    async with asyncio.timeout(5):
        await client.closed.wait()
    with pytest.raises(DnsServerError):
        await client.remove_endpoint("e1")

    await newest.remove_endpoint("e1")
    await newest.close()


async def test_a_stranger_that_says_nothing_does_not_displace_the_client(client, path) -> None:
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(path))

        await client.remove_endpoint("e1")

    assert not client.closed.is_set()


async def test_a_dead_server_is_noticed_and_another_one_started(client, path) -> None:
    os.kill(client.pid, signal.SIGKILL)

    async with asyncio.timeout(5):
        await client.closed.wait()
    with pytest.raises(DnsServerError):
        await client.remove_endpoint("e1")
    again = await DnsClient.open(path)

    assert again.pid != client.pid
    await again.remove_endpoint("e1")
    await again.close()


async def test_calls_under_way_fail_when_the_server_dies(client) -> None:
    os.kill(client.pid, signal.SIGSTOP)
    calls = [asyncio.create_task(client.remove_endpoint("e1")) for _ in range(10)]
    await asyncio.sleep(0)

    os.kill(client.pid, signal.SIGKILL)
    results = await asyncio.gather(*calls, return_exceptions=True)

    assert {type(result) for result in results} == {DnsServerError}


async def test_sigterm_ends_the_server_cleanly(client, path) -> None:
    os.kill(client.pid, signal.SIGTERM)

    await until(lambda: not alive(client.pid))

    assert client.closed.is_set()
    assert not path.exists()


async def test_shutdown_returns_when_the_process_is_gone(client, path) -> None:
    await client.shutdown()

    assert not alive(client.pid)
    assert not path.exists()


async def test_only_the_owner_may_connect(client, path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_socket_file_left_by_a_dead_server_does_not_matter(path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))

    client = await DnsClient.open(path)

    await client.remove_endpoint("e1")
    await client.close()


async def test_those_who_start_at_once_get_one_server(path) -> None:
    clients = await asyncio.gather(*(DnsClient.open(path) for _ in range(4)))

    assert len({client.pid for client in clients}) == 1
    for client in clients:
        await client.close()


async def test_the_server_is_detached(path, tmp_path) -> None:
    log = tmp_path / "dns.log"
    with log.open("a") as file:
        os.set_inheritable(file.fileno(), True)
        mine = os.open(tmp_path, os.O_RDONLY)
        os.set_inheritable(mine, True)
        client = await DnsClient.open(path, log)
        os.close(mine)
    links = {each.name: str(each.readlink()) for each in Path(f"/proc/{client.pid}/fd").iterdir()}

    assert os.getsid(client.pid) == client.pid != os.getsid(0)
    assert Path(f"/proc/{client.pid}/cwd").readlink() == Path("/")
    assert [links.pop(number) for number in "012"] == ["/dev/null", str(log), str(log)]
    assert not {str(log), str(tmp_path)} & set(links.values())
    assert min(links.values()) == f"{path}.lock"
    await client.close()


async def test_the_server_survives_its_starter(path, snapshot) -> None:
    script = """if True:
        import asyncio, pathlib, sys
        from dns.client import DnsClient
        async def main():
            client = await DnsClient.open(pathlib.Path(sys.argv[1]))
            print(client.pid)
            await client.close()
        asyncio.run(main())
    """
    words = [sys.executable, "-c", script, str(path)]
    pid = int(subprocess.check_output(words, cwd=ROOT))

    client = await DnsClient.open(path)

    assert client.pid == pid
    await client.close()


async def test_another_package_named_dns_is_not_taken_for_it(path, tmp_path, monkeypatch) -> None:
    (tmp_path / "dns").mkdir()
    (tmp_path / "dns" / "__init__.py").write_text("raise SystemExit('the wrong one')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    client = await DnsClient.open(Path("dns.sock"))

    await client.close()


async def test_a_server_that_cannot_start_says_why(tmp_path) -> None:
    with pytest.raises(DnsServerError, match=r"nowhere.*No such file"):
        await DnsClient.open(tmp_path / "nowhere" / "dns.sock")
    with pytest.raises(DnsServerError, match="AF_UNIX path too long"):
        await DnsClient.open(tmp_path / ("x" * 120))
    with pytest.raises(DnsServerError, match=r"nowhere"):
        await DnsClient.open(tmp_path / "dns.sock", tmp_path / "nowhere" / "dns.log")
    assert not (tmp_path / "dns.sock").exists()


async def test_a_file_in_the_sockets_place_is_left_alone(tmp_path) -> None:
    path = tmp_path / "file"
    path.write_text("mine")

    with pytest.raises(DnsServerError):
        await DnsClient.open(path)

    assert path.read_text() == "mine"


async def test_a_server_of_another_version_is_replaced(path) -> None:
    script = (
        "import sys, dns.control as c; c.PROTOCOL_VERSION = 99; import dns.server as s; s.main()"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT) as other:
        await until(path.exists)

        client = await DnsClient.open(path)

        assert client.pid != other.pid
        assert other.wait(timeout=10) == 0
    await client.close()


async def test_a_server_that_nobody_can_reach_any_more_ends(path) -> None:
    script = "import sys, dns.server as s; s.ORPHAN_CHECK_S = 0.02; s.main()"
    with subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT) as server:
        await until(path.exists)
        client = await DnsClient.open(path)
        path.unlink()
        path.with_name("dns.sock.lock").unlink()
        successor = await DnsClient.open(path)
        await client.remove_endpoint("e1")  # it stays while it has a client
        await client.close()

        await asyncio.to_thread(server.wait, 10)

    await successor.remove_endpoint("e1")
    assert path.exists()
    await successor.close()


async def test_the_server_is_small_and_imports_little(client) -> None:
    script = "import sys, json, dns.server; print(json.dumps(list(sys.modules)))"
    modules = set(json.loads(subprocess.check_output([sys.executable, "-c", script], cwd=ROOT)))
    status = Path(f"/proc/{client.pid}/status").read_text()
    [resident] = [int(line.split()[1]) for line in status.splitlines() if "VmRSS" in line]

    assert not modules & {"aiohttp", "dnslib", "msgspec", "netd", "pyroute2"}
    assert resident < 25_000


@pytest.mark.parametrize(
    "octets",
    [b"\0\0\0\2\0{}", b"\0\0\0\1\0{", b"\0\0\0\0\0", b"\xff" * 100, b"\0\0\0\0\3", b"\0\0\1"],
)
async def test_malformed_requests_do_the_server_no_harm(client, path, octets) -> None:
    before = descriptors(client.pid)
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.connect(str(path))
        reading, writing = os.pipe()
        socket.send_fds(stranger, [octets], [writing])
        os.close(writing)
    async with asyncio.timeout(5):
        assert await asyncio.to_thread(os.read, reading, 1) == b""  # closed by the server too
    os.close(reading)

    await client.remove_endpoint("e1")
    await until(lambda: descriptors(client.pid) == before)


async def test_each_request_has_an_answer_even_if_unknown(path, client) -> None:
    with pytest.raises(DnsServerError, match="no such verb: 'dance'"):
        await client._call("dance")
    with pytest.raises(DnsServerError, match="view is no object: None"):
        await client._call("put_view")
