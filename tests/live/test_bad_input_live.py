"""What a user does wrong: a sentence that names the thing, Docker's status, and nothing left."""

import io
import json
import shutil
import socket
import subprocess
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from labs.host import Host
from tests.rawapi import Api, ApiError

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _unchanged(host: Host) -> Iterator[None]:
    """A test's mistakes leave networks, containers, links and rules as they were."""
    host.netd("version")
    before = _state(host)
    yield
    assert _state(host) == before
    assert "Traceback" not in (host.folder / "daemon.log").read_text()


def _state(host: Host) -> list[str]:
    words = (
        ("network", "ls", "-q"),
        ("ps", "-aq"),
        ("images", "-q"),
    )
    listed = [host.netd(*each) for each in words]
    rules = host.inside("iptables-legacy-save", "-t", "nat")
    lines = [line for line in rules.splitlines() if line.startswith("-A")]
    bridges = host.inside("ip", "-o", "link", "show", "type", "bridge").splitlines()
    return [*listed, *(line.split(": ")[1] for line in bridges), *lines]


CREATE = ("network", "create")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((*CREATE, "bridge"), ["predefined", "bridge"]),
        ((*CREATE, "-d", "nosuch", "x"), ["nosuch"]),
        ((*CREATE, "-d", "host", "x"), ["host"]),
        ((*CREATE, "--subnet", "10.1.2.3/24", "x"), ["10.1.2.3/24"]),
        ((*CREATE, "--subnet", "nonsense", "x"), ["nonsense"]),
        ((*CREATE, "--subnet", "10.1.0.0/24", "--gateway", "10.2.0.1", "x"), ["10.2.0.1"]),
        ((*CREATE, "-o", "com.docker.network.driver.mtu=abc", "x"), ["mtu", "abc"]),
        ((*CREATE, "-o", "com.docker.network.bridge.name=much-too-long-name", "x"), ["much-too"]),
        (
            (
                *CREATE,
                "--subnet",
                "10.1.0.0/24",
                "--gateway",
                "10.2.0.1",
                "--ip-range",
                "10.3.0.0/25",
                "--aux-address",
                "a=9.9.9.9",
                "x",
            ),
            ["10.2.0.1", "10.3.0.0/25", "9.9.9.9"],
        ),
        (("network", "rm", "nowhere"), ["nowhere"]),
        (("network", "rm", "bridge"), ["pre-defined", "bridge"]),
        (("network", "connect", "nowhere", "nobody"), ["no"]),
        (("network", "inspect", "nowhere"), ["nowhere"]),
        (("run", "--rm", "nosuch:1", "true"), ["nosuch:1"]),
        (("run", "--rm", "BAD", "true"), ["BAD"]),
        (("run", "--rm", "--network", "nowhere", "demo", "true"), ["nowhere"]),
        (("run", "--rm", "--name", "a/b", "demo", "true"), ["a/b"]),
        (("run", "--rm", "--ip", "10.9.9.9", "demo", "true"), ["10.9.9.9"]),
        (("run", "--rm", "--cap-add", "NOSUCH", "demo", "true"), ["NOSUCH"]),
        (("run", "--rm", "-w", "relative", "demo", "true"), ["relative"]),
        (("run", "--rm", "-u", "nosuch", "demo", "true"), ["nosuch"]),
        (("run", "--rm", "--stop-signal", "NOPE", "demo", "true"), ["NOPE"]),
        (("run", "--rm", "-p", "8080:http", "demo", "true"), ["http"]),
        (("run", "--rm", "-p", "99999:80", "demo", "true"), ["99999"]),
        (("create", "-p", "nowhere:8080:80", "demo", "true"), ["nowhere"]),
        (("create", "--expose", "80/odd", "demo", "true"), ["odd"]),
        (("run", "--rm", "demo", "nosuch"), ["nosuch"]),
        (("exec", "nobody", "true"), ["nobody"]),
        (("logs", "nobody"), ["nobody"]),
        (("port", "nobody"), ["nobody"]),
        (("start", "nobody"), ["nobody"]),
        (("kill", "nobody"), ["nobody"]),
        (("rm", "nobody"), ["nobody"]),
        (("rmi", "nobody"), ["nobody"]),
        (("tag", "nobody", "x"), ["nobody"]),
        (("tag", "demo", "UPPER"), ["UPPER"]),
    ],
)
def test_a_mistake_is_named_and_leaves_nothing(
    host: Host, words: Sequence[str], said: Sequence[str]
) -> None:
    done = subprocess.run(
        [*_netd(host), *words], capture_output=True, text=True, check=False, timeout=60
    )

    assert done.returncode in {1, 125, 127}
    assert all(word.lower() in done.stderr.lower() for word in said), done.stderr


def _netd(host: Host) -> list[str]:
    return [str(Path(".venv/bin/netd").resolve()), "-H", f"unix://{host.socket}"]


def test_a_subnet_that_collides_is_refused_with_both_names(host: Host) -> None:
    host.inside("ip", "route", "add", "blackhole", "10.77.0.0/16")
    host.netd("network", "create", "--subnet", "10.78.0.0/24", "front")

    with Api(host.socket) as api:
        for subnet, whose in (("10.78.0.128/25", "front"), ("10.77.5.0/24", "10.77.0.0/16")):
            with pytest.raises(ApiError, match="Pool overlaps") as caught:
                api.call("POST", "/networks/create", network(subnet))
            assert caught.value.status == 403
            assert subnet in str(caught.value) and whose in str(caught.value)

    host.netd("network", "rm", "front")
    host.inside("ip", "route", "del", "blackhole", "10.77.0.0/16")


def network(*subnets: str) -> dict[str, object]:
    return {"Name": "x", "IPAM": {"Config": [{"Subnet": subnet} for subnet in subnets]}}


def test_all_mistakes_of_a_request_are_told_at_once(host: Host) -> None:
    config = {"Subnet": "10.1.0.0/24", "Gateway": "10.2.0.1", "IPRange": "10.3.0.0/25"}
    body = {"Name": "x", "IPAM": {"Config": [config, {"Subnet": "10.4.0.1/24"}]}}

    with Api(host.socket) as api, pytest.raises(ApiError) as caught:
        api.call("POST", "/networks/create", body)

    assert caught.value.status == 400
    assert all(each in str(caught.value) for each in ("10.2.0.1", "10.3.0.0/25", "10.4.0.1/24"))


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/containers/create", b"{", 400),
        ("/containers/create", b"[]", 400),
        ("/containers/create", b'{"Image": 5}', 400),
        ("/containers/create", b'{"Image": "nosuch", "Cmd": ["true"]}', 404),
        ("/containers/create?name=-", b'{"Image": "demo"}', 400),
        (
            "/containers/create",
            b'{"Image":"demo","HostConfig":{"PortBindings":{"0/tcp":null}}}',
            400,
        ),
        ("/containers/create", b'{"a":' * 5000 + b"1" + b"}" * 5000, 400),
        ("/networks/create", b'{"Name": ""}', 400),
        ("/networks/create", b'{"Name": "host"}', 403),
        ("/containers/nobody/start", b"", 404),
        ("/containers/nobody/exec", b'{"Cmd": ["true"]}', 404),
        ("/exec/nothing/start", b"{}", 404),
        ("/images/create?fromImage=nosuch", b"", 404),
        ("/v9.99/containers/create", b"{}", 400),
        ("/no/such/thing", b"", 404),
    ],
)
def test_a_bad_request_has_dockers_status(host: Host, path: str, body: bytes, status: int) -> None:
    answer = raw_answer(host, path, body)

    head, _, text = answer.partition(b"\r\n\r\n")
    assert int(head.split()[1]) == status, answer[:500]
    assert json.loads(text)["message"]


def raw_answer(host: Host, path: str, body: bytes) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(str(host.socket))
        client.sendall(head.encode() + body)
        pieces = iter(lambda: client.recv(65536), b"")
        return b"".join(pieces)


@pytest.mark.parametrize(
    ("words", "data"),
    [
        (("load",), b""),
        (("load",), b"no archive"),
        (("load",), b"\0" * 10240),
        (("import", "-", "made:1"), b""),
        (("import", "-", "made:1"), b"no archive"),
    ],
)
def test_what_is_no_archive_is_refused(host: Host, words: Sequence[str], data: bytes) -> None:
    done = subprocess.run([*_netd(host), *words], input=data, capture_output=True, check=False)

    assert done.returncode == 1 and done.stderr


def test_an_archive_that_leads_out_of_its_root_is_refused(host: Host, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        entry = tarfile.TarInfo("../../escaped")
        entry.size = 1
        tar.addfile(entry, io.BytesIO(b"x"))

    done = subprocess.run(
        [*_netd(host), "import", "-", "evil:1"],
        input=out.getvalue(), capture_output=True, check=False,
    )  # fmt: skip

    assert done.returncode == 1 and b"escaped" in done.stderr
    assert list(host.folder.rglob("escaped")) == []


def test_of_two_that_want_one_name_exactly_one_gets_it(host: Host) -> None:
    results: list[int] = []

    def create(path: str, body: dict[str, object]) -> None:
        with Api(host.socket) as api:
            try:
                api.call("POST", path, body)
            except ApiError as error:
                results.append(error.status)
            else:
                results.append(201)

    for path, body in (
        ("/networks/create", {"Name": "wanted"}),
        ("/containers/create?name=wanted", {"Image": "demo"}),
    ):
        results.clear()
        threads = [threading.Thread(target=create, args=(path, body)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(results) == [201, 409, 409, 409]

    host.netd("rm", "wanted")
    host.netd("network", "rm", "wanted")


def test_a_network_in_use_stays(host: Host) -> None:
    host.netd("network", "create", "front")
    host.netd("run", "-d", "--name", "web", "--network", "front", "demo", "sleep", "1000")

    said = host.netd("network", "rm", "front", check=False)

    assert "front" in said and "web" in said
    host.netd("rm", "-f", "web")
    host.netd("network", "rm", "front")


def test_pools_that_are_used_up_say_so(own_host: Host) -> None:
    host = own_host
    host.stop_daemon()
    shutil.rmtree(host.folder / "data")
    host.start_daemon("--default-address-pool", "base=10.240.0.0/28,size=29")
    host.netd("network", "create", "one")

    said = host.netd("network", "create", "two", check=False)

    assert "10.240.0.0/28" in said and "two" not in host.netd("network", "ls")


def test_without_conmon_the_daemon_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ip", "nsenter", "unshare", "sh", "sleep", "runc", "iptables-legacy-save"):
        found = shutil.which(name)
        if found:
            (tmp_path / name).symlink_to(found)
    monkeypatch.setenv("PATH", str(tmp_path))

    with Host() as host:
        said = host.netd("run", "--rm", "demo", "true", check=False)

        assert "conmon" in said
        assert host.netd("ps", "-aq") == ""


def test_a_full_disk_is_told_and_survived(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True)
    try:
        with Host() as host:
            host.stop_daemon()
            subprocess.run(["rm", "-rf", str(host.folder / "data")], check=True)
            host.start_daemon("--data-root", str(disk))
            archive = (Path(".cache") / "demo.tar").resolve()
            host.netd("load", "-q", "-i", str(archive))
            filler = disk / "filler"
            fill(filler)

            said = host.netd("load", "-i", str(archive), check=False)

            assert "No space left" in said and str(disk) in said
            filler.unlink()
            assert host.netd("run", "--rm", "demo", "echo", "on").strip() == "on"
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(path: Path) -> None:
    """Write a file until the disk is full."""
    with path.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65536))
