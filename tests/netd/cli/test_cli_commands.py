"""What commands ask of the daemon, print, and give as exit status."""

import json
import os
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Engine = Any  # conftest.py's: a scripted daemon
Netd = Callable[..., Any]

CONTAINER = {
    "Id": "1ca0c78f51b57ffb2fce047c7fce639e7730c376cad4a6a7d57260630922b456",
    "Names": ["/web"],
    "Image": "demo:latest",
    "Command": "httpd -f -p 80 -h /www --and --more",
    "Created": 0,
    "Ports": [{"PrivatePort": 80, "Type": "tcp"},
              {"IP": "::", "PrivatePort": 53, "PublicPort": 5353, "Type": "udp"}],
    "Labels": {"b": "2", "a": "1"},
    "State": "running",
    "Status": "Up 2 minutes",
    "NetworkSettings": {"Networks": {"front": {}, "back": {}}},
    "Mounts": [],
}  # fmt: skip
DETAILS = {
    "Id": CONTAINER["Id"],
    "Name": "/web",
    "Config": {"Tty": False, "OpenStdin": False},
    "State": {"Running": True, "ExitCode": 0},
    "HostConfig": {"AutoRemove": False},
}


def test_ps_shows_dockers_table(engine: Engine, netd: Netd) -> None:
    engine.answer("GET /containers/json", [CONTAINER])

    result = netd("ps")

    header, row = result.out.splitlines()
    assert header.split("   ")[0] == "CONTAINER ID"
    assert row.startswith('1ca0c78f51b5   demo:latest   "httpd -f -p 80 -h /…"   ')
    assert row.endswith("Up 2 minutes   80/tcp, [::]:5353->53/udp   web")


def test_ps_filters_and_formats(engine: Engine, netd: Netd) -> None:
    engine.answer("GET /containers/json", [CONTAINER])

    result = netd("ps", "-a", "-f", "label=a=1", "--filter", "label=b", "--format",
                  "{{.Names}} {{.Networks}} {{.Labels}} {{.Label `b`}}")  # fmt: skip

    assert result.out == "web back,front a=1,b=2 2\n"
    query = engine.requests[0].query
    assert query["all"] == "1"
    assert json.loads(query["filters"]) == {"label": ["a=1", "b"]}


def test_ps_quiet_prints_ids_only(engine: Engine, netd: Netd) -> None:
    engine.answer("GET /containers/json", [CONTAINER])

    assert netd("ps", "-q").out == "1ca0c78f51b5\n"
    assert netd("ps", "-q", "--no-trunc").out == f"{CONTAINER['Id']}\n"
    assert netd("ps", "-ql").out == "1ca0c78f51b5\n"
    assert engine.requests[-1].query["limit"] == "1"


def test_a_filter_without_a_value_is_refused_before_anything_is_asked(
    engine: Engine, netd: Netd
) -> None:
    result = netd("ps", "--filter", "running")

    assert (result.status, engine.requests) == (125, [])
    assert result.err.startswith("netd: filter 'running' has no value\nhint: ")


@pytest.mark.parametrize("words", [["ps"], ["container", "ls"]])
def test_a_missing_daemon_is_one_sentence_and_a_hint(
    words: list[str], netd: Netd, engine: Engine
) -> None:
    result = netd("-H", "unix:///nowhere/netd.sock", *words)

    assert result.status == 1
    assert result.err == (
        "netd: no daemon answers at unix:///nowhere/netd.sock\n"
        "hint: start it with: sudo netd daemon\n"
    )


def test_run_without_a_daemon_gives_dockers_status(netd: Netd) -> None:
    assert netd("-H", "unix:///nowhere", "run", "demo").status == 125


def test_a_host_that_is_no_unix_socket_is_refused(netd: Netd) -> None:
    assert "host 'tcp://1.2.3.4' is no unix socket" in netd("-H", "tcp://1.2.3.4", "ps").err


def test_removing_several_goes_on_past_those_that_cannot(engine: Engine, netd: Netd) -> None:
    engine.answer("DELETE /containers/(a|c)", status=204)
    engine.answer("DELETE /containers/b", {"message": "b is running"}, 409)

    result = netd("rm", "a", "b", "c")

    assert (result.status, result.out, result.err) == (1, "a\nc\n", "netd: b is running\n")


def test_forced_removal_of_what_is_not_there_is_done_already(engine: Engine, netd: Netd) -> None:
    assert netd("rm", "-f", "gone") == (0, "", "netd: no such thing: /containers/gone\n")
    assert netd("rm", "gone").status == 1


def test_stop_and_kill_send_what_was_said(engine: Engine, netd: Netd) -> None:
    engine.answer("POST /containers/web/.*", status=204)

    assert netd("stop", "-t", "0", "web").out == "web\n"
    assert netd("kill", "-s", "HUP", "web").out == "web\n"
    assert netd("restart", "web").out == "web\n"

    assert [request.query for request in engine.requests] == [{"t": "0"}, {"signal": "HUP"}, {}]


def test_wait_prints_exit_codes(engine: Engine, netd: Netd) -> None:
    engine.answer("POST /containers/job/wait", {"StatusCode": 3})

    assert netd("wait", "job") == (0, "3\n", "")


def test_run_detached_prints_the_id(engine: Engine, netd: Netd) -> None:
    engine.answer("POST /containers/create", {"Id": "abc", "Warnings": ["no swap limit"]}, 201)
    engine.answer("POST /containers/abc/start", status=204)

    result = netd("run", "-d", "--name", "web", "demo", "sleep", "-n", "9")

    assert result == (0, "abc\n", "warning: no swap limit\n")
    assert engine.requests[0].query == {"name": "web"}
    assert engine.requests[0].json["Cmd"] == ["sleep", "-n", "9"]


def test_run_of_a_missing_image_says_how_to_get_one(engine: Engine, netd: Netd) -> None:
    engine.answer("POST /containers/create", {"message": "No such image: x:latest"}, 404)

    result = netd("run", "x")

    assert result.status == 125
    assert result.err.startswith("netd: no image x here\nhint: netd does not pull; load one")


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ('runc: exec: "no": executable file not found in $PATH', 127),
        ("exec /etc: permission denied", 126),
        ("no address left", 125),
    ],
)
def test_a_start_that_is_refused_gives_dockers_status_and_removes_with_rm(
    engine: Engine, netd: Netd, message: str, status: int
) -> None:
    engine.answer("POST /containers/create", {"Id": "abc"}, 201)
    engine.answer("POST /containers/abc/start", {"message": message}, 400)
    engine.answer("DELETE /containers/abc", status=204)

    result = netd("run", "-d", "--rm", "demo")

    assert (result.status, result.err) == (status, f"netd: {message}\n")
    assert engine.seen()[-1] == "DELETE /containers/abc"


def test_run_attaches_waits_and_starts_in_dockers_order(engine: Engine, netd: Netd) -> None:
    engine.answer("POST /containers/create", {"Id": "abc"}, 201)
    engine.hijack(
        "POST /containers/abc/attach",
        lambda c: c.sendall(
            engine.frame(1, b"out\n") + engine.frame(2, b"err\n") + engine.frame(1, b"more\n")
        ),
    )
    engine.answer("POST /containers/abc/wait", {"StatusCode": 7})
    engine.answer("POST /containers/abc/start", status=204)

    result = netd("run", "--rm", "demo", "true")

    assert result == (7, "out\nmore\n", "err\n")
    assert engine.seen() == [
        "POST /containers/create",
        "POST /containers/abc/attach",
        "POST /containers/abc/wait",
        "POST /containers/abc/start",
    ]
    assert engine.requests[2].query == {"condition": "removed"}


def test_a_container_that_could_not_be_waited_for_is_an_error(engine: Engine, netd: Netd) -> None:
    engine.answer("GET /containers/web/json", DETAILS | {"State": {"Running": False}})
    engine.hijack("POST /containers/.*/attach", lambda c: None)
    engine.answer("POST /containers/.*/wait", {"StatusCode": 0, "Error": {"Message": "lost it"}})
    engine.answer("POST /containers/web/start", status=204)

    assert netd("start", "-a", "web") == (125, "", "netd: lost it\n")


def test_exec_gives_the_commands_status(engine: Engine, netd: Netd) -> None:
    engine.answer("POST /containers/web/exec", {"Id": "e1"}, 201)
    engine.hijack("POST /exec/e1/start", lambda c: c.sendall(engine.frame(1, b"hello\n")))
    engine.answer("GET /exec/e1/json", {"Running": False, "ExitCode": 5})

    assert netd("exec", "-e", "A=1", "web", "sh", "-c", "exit 5") == (5, "hello\n", "")
    assert engine.requests[0].json["Cmd"] == ["sh", "-c", "exit 5"]


def test_exec_detached_asks_nothing_more(engine: Engine, netd: Netd) -> None:
    engine.answer("POST /containers/web/exec", {"Id": "e1"}, 201)
    engine.answer("POST /exec/e1/start")

    assert netd("exec", "-d", "web", "true") == (0, "", "")
    assert engine.requests[1].json == {"Detach": True, "Tty": False}


def test_logs_are_taken_apart_into_output_and_error(engine: Engine, netd: Netd) -> None:
    engine.answer("GET /containers/web/json", DETAILS)
    pieces = engine.frame(1, b"a\n") + engine.frame(2, b"b\n")

    def chunked(_request: object, connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for octet in pieces:  # each in a chunk of its own
            connection.sendall(b"1\r\n%c\r\n" % octet)
        connection.sendall(b"0\r\n\r\n")

    engine.talk("GET /containers/web/logs", chunked)

    result = netd("logs", "-n", "0", "--since", "10", "web")

    assert result == (0, "a\n", "b\n")
    assert engine.requests[1].query == {
        "stdout": "1", "stderr": "1", "follow": "0", "since": "10", "tail": "0", "timestamps": "0",
    }  # fmt: skip


def test_inspect_looks_for_every_kind(engine: Engine, netd: Netd) -> None:
    engine.answer("GET /networks/front", {"Name": "front", "Id": "1"})

    result = netd("inspect", "front", "nothing")

    assert json.loads(result.out) == [{"Name": "front", "Id": "1"}]
    assert (result.status, result.err) == (1, "netd: no such object: nothing\n")


def test_inspect_formats_with_a_template(engine: Engine, netd: Netd) -> None:
    engine.answer("GET /containers/web/json", DETAILS)

    assert netd("inspect", "-f", "{{.Name}} {{.State.Running}}", "web").out == "/web true\n"
    assert netd("inspect", "--type", "container", "-f", "{{.Nme}}", "web").status == 1


def test_images_are_loaded_from_a_file_in_chunks(
    engine: Engine, netd: Netd, tmp_path: Path
) -> None:
    archive = tmp_path / "demo.tar"
    archive.write_bytes(b"x" * 3_000_000)
    engine.answer("POST /images/load", {"stream": "Loaded image: demo:latest\n"})

    assert netd("load", "-i", str(archive)) == (0, "Loaded image: demo:latest\n", "")
    assert engine.requests[0].body == archive.read_bytes()


def test_an_archive_that_is_refused_is_an_error(engine: Engine, netd: Netd, tmp_path: Path) -> None:
    archive = tmp_path / "demo.tar"
    archive.write_bytes(b"x")
    engine.answer("POST /images/load", {"error": "no manifest", "errorDetail": {}})

    assert netd("load", "-i", str(archive)) == (1, "", "netd: no manifest\n")
    assert "cannot read '/nowhere'" in netd("load", "-i", "/nowhere").err


def test_an_answer_before_the_archive_was_read_is_told(
    engine: Engine, netd: Netd, tmp_path: Path
) -> None:
    archive = tmp_path / "demo.tar"
    archive.write_bytes(b"x" * 5_000_000)
    path = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()

        def refuse() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 500 X\r\nContent-Length: 23\r\n\r\n")
                connection.sendall(b'{"message":"disk full"}')

        thread = threading.Thread(target=refuse)
        thread.start()
        result = netd("-H", f"unix://{path}", "load", "-i", str(archive))
        thread.join()

    assert result == (1, "", "netd: disk full\n")


def test_import_sends_its_changes_one_by_one(engine: Engine, netd: Netd, tmp_path: Path) -> None:
    archive = tmp_path / "root.tar"
    archive.write_bytes(b"x")
    engine.answer("POST /images/create", {"status": "sha256:12"})

    result = netd("import", "-c", "CMD sh", "-c", "ENV A=1", str(archive), "host:5000/a/b:1")

    assert result.out == "sha256:12\n"
    assert engine.requests[0].query == {
        "fromSrc": "-", "repo": "host:5000/a/b", "tag": "1", "changes": "ENV A=1",
    }  # fmt: skip


def test_images_without_a_name_are_shown_as_docker_does(engine: Engine, netd: Netd) -> None:
    image = {"Id": "sha256:eddb623a439af558", "RepoTags": [], "Created": 0, "Size": 1985817}
    engine.answer("GET /images/json", [image, image | {"RepoTags": ["h:5000/a:1", "b:2"]}])

    assert netd("images", "--format", "{{.Repository}} {{.Tag}} {{.ID}} {{.Size}}").out == (
        "<none> <none> eddb623a439a 1.99MB\n"
        "h:5000/a 1 eddb623a439a 1.99MB\n"
        "b 2 eddb623a439a 1.99MB\n"
    )
    assert netd("images", "-q").out == "eddb623a439a\n"


def test_rmi_says_what_was_untagged_and_deleted(engine: Engine, netd: Netd) -> None:
    engine.answer("DELETE /images/a:1", [{"Untagged": "a:1"}, {"Deleted": "sha256:1"}])

    assert netd("rmi", "a:1").out == "Untagged: a:1\nDeleted: sha256:1\n"


def test_networks_are_listed_by_name(engine: Engine, netd: Netd) -> None:
    networks = [
        {
            "Id": c * 64,
            "Name": n,
            "Driver": "bridge",
            "Scope": "local",
            "Created": "2026-11-23T18:54:28.4Z",
        }
        for c, n in (("a", "front"), ("b", "back"))
    ]
    engine.answer("GET /networks", networks)

    assert netd("network", "ls").out == (
        "NETWORK ID     NAME      DRIVER    SCOPE\n"
        "bbbbbbbbbbbb   back      bridge    local\n"
        "aaaaaaaaaaaa   front     bridge    local\n"
    )


def test_a_network_is_created_with_a_go_boolean(engine: Engine, netd: Netd) -> None:
    engine.answer("POST /networks/create", {"Id": "n1", "Warning": ""}, 201)

    assert netd("network", "create", "--ipv6=true", "--ipv4=false", "front").out == "n1\n"
    assert engine.requests[0].json["EnableIPv6"] is True
    assert engine.requests[0].json["EnableIPv4"] is False


def test_a_container_is_connected_with_its_settings(engine: Engine, netd: Netd) -> None:
    engine.answer("POST /networks/front/(dis)?connect")

    netd("network", "connect", "--alias", "db", "--ip", "10.9.0.5", "front", "web")
    netd("network", "disconnect", "-f", "front", "web")

    assert [request.json for request in engine.requests] == [
        {
            "Container": "web",
            "EndpointConfig": {"IPAMConfig": {"IPv4Address": "10.9.0.5"}, "Aliases": ["db"]},
        },
        {"Container": "web", "Force": True},
    ]


def test_prune_asks_first_unless_forced(
    engine: Engine, netd: Netd, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.answer("POST /networks/prune", {"NetworksDeleted": ["front"]})
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)

        assert netd("network", "prune").status == 0
        assert engine.requests == []

        assert netd("network", "prune", "-f").out == "Deleted Networks:\nfront\n\n"


def test_events_are_said_in_a_line_each(engine: Engine, netd: Netd) -> None:
    event = {
        "Type": "network", "Action": "connect", "time": 0, "timeNano": 1_000_000_005,
        "Actor": {"ID": "n1", "Attributes": {"name": "front", "container": "c1"}},
    }  # fmt: skip
    engine.answer("GET /events", event)

    assert ".000000005" in (said := netd("events", "--since", "1", "--until", "2").out)
    assert said.endswith("network connect n1 (container=c1, name=front)\n")
    assert netd("events", "--format", "{{.Actor.Attributes.name}}").out == "front\n"


def test_version_without_a_daemon_still_says_the_clients(netd: Netd) -> None:
    result = netd("-H", "unix:///nowhere", "version")

    assert result.out.startswith("Client: netd\n Version:           ")
    assert result.status == 1


def test_netd_alone_says_what_runs_and_what_to_try(engine: Engine, netd: Netd) -> None:
    engine.answer("GET /containers/json", [CONTAINER])
    engine.answer("GET /networks", [{"Id": "n1", "Name": "front", "Driver": "bridge"}])

    said = netd().out

    assert "Now: 1 container running, 1 network\n  front: web\n" in said
    assert said.count("\n  netd ") == 3


def test_a_daemon_that_dies_in_the_middle_is_told(engine: Engine, netd: Netd) -> None:
    engine.talk(
        "GET /info", lambda _r, c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{")
    )
    engine.talk("GET /networks", lambda _r, c: None)

    assert "broke off its answer" in netd("info").err
    assert "closed the connection" in netd("network", "ls").err


def test_something_else_at_the_socket_is_told(engine: Engine, netd: Netd) -> None:
    engine.talk("GET /info", lambda _r, c: c.sendall(b"220 smtp ready\r\n"))

    assert netd("info").err.endswith("speaks no HTTP\n")


def test_a_socket_whose_path_is_too_long_for_the_kernel_is_reached(
    engine: Engine, netd: Netd, tmp_path: Path
) -> None:
    deep = tmp_path / ("d" * 120)
    deep.symlink_to(tmp_path, target_is_directory=True)
    engine.answer("GET /containers/json", [])

    assert netd("-H", f"unix://{deep}/netd.sock", "ps", "-q") == (0, "", "")


@pytest.mark.parametrize(
    "words",
    [
        ("inspect", ""), ("network", "inspect", ""), ("network", "rm", ""), ("rm", "-f", ""),
        ("rmi", ""), ("logs", ""), ("start", ""), ("tag", "", "x"), ("exec", "", "true"),
    ],
)  # fmt: skip
def test_an_empty_name_asks_the_daemon_nothing(
    engine: Engine, netd: Netd, words: tuple[str, ...]
) -> None:
    result = netd(*words)

    assert result.status == 1
    assert "netd: a name or id is needed, not ''\n" in result.err
    assert engine.requests == []
