"""Attach, exec, logs, wait, events: what stays open."""

import asyncio
import struct
from typing import Any

import pytest
from msgspec.structs import replace

from netd.api.keys import DetachScanner, detach_keys
from netd.errors import InternalError, InvalidError
from netd.model import Config, Container, HostConfig, LogLine, State, Status
from tests.netd.api.conftest import Api, Raw, missing_fields, until
from tests.netd.fakes import FakeStream
from tests.netd.makers import EPOCH, container, running

HEAD_101 = (
    b"HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.multiplexed-stream\r\n"
    b"Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
)
BOTH = "stream=1&stdout=1&stderr=1"
ALL = f"{BOTH}&stdin=1"


def frame(data: bytes, stream: int = 1) -> bytes:
    return struct.pack(">BxxxI", stream, len(data)) + data


def web(api: Api, **config: Any) -> Container:
    """Add a running container."""
    return api.daemon.containers.add(
        running(container("web", config=Config(image="demo", **config)))
    )


async def attached(api: Api, query: str, path: str = "") -> tuple[Raw, FakeStream]:
    """Attach to `web`; return both ends."""
    raw = await api.upgrade(f"{path}/containers/web/attach?{query}")
    (streams,) = api.daemon.containers.streams.values()
    return raw, streams[-1]


async def begun(api: Api, body: bytes = b"{}", **request: Any) -> tuple[Raw, FakeStream, str]:
    """Create and start an exec in `web`; return both ends and its id."""
    created = await api("POST", "/containers/web/exec", {"Cmd": ["sh"], **request})
    id_ = created.json["Id"]
    raw = await api.upgrade(f"/exec/{id_}/start", body)
    return raw, api.daemon.execs.streams[id_], id_


# Attach.


async def test_attach_upgrades_and_frames_output(api: Api) -> None:
    web(api)
    raw, stream = await attached(api, BOTH)

    stream.say(b"out")
    stream.say(b"err", 2)
    stream.end()

    assert raw.head == HEAD_101
    assert await raw.rest() == frame(b"out") + frame(b"err", 2)
    await until(lambda: stream.closed)
    raw.close()


async def test_attach_without_upgrade_is_a_200_that_ends_with_the_connection(api: Api) -> None:
    web(api)
    raw = await api.post_raw(f"/containers/web/attach?{BOTH}")
    await until(lambda: api.daemon.containers.streams)
    (streams,) = api.daemon.containers.streams.values()

    streams[0].say(b"out")
    streams[0].end()

    assert await raw.rest() == (
        b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n"
        + frame(b"out")
    )
    raw.close()


@pytest.mark.parametrize(("path", "tty"), [("/v1.41", False), ("/v1.45", True)])
async def test_raw_streams_are_called_so(api: Api, path: str, tty: bool) -> None:
    web(api, tty=tty)

    raw, stream = await attached(api, BOTH, path)
    stream.say(b"x")
    stream.end()

    assert b"Content-Type: application/vnd.docker.raw-stream\r\n" in raw.head
    assert await raw.rest() == (b"x" if tty else frame(b"x"))
    raw.close()


async def test_attach_comes_before_the_start(api: Api) -> None:
    made = api.daemon.containers.add(container("web"))

    raw, stream = await attached(api, BOTH)
    await api("POST", "/containers/web/start")
    stream.say(b"first")
    api.daemon.containers.exit(made.id, 0)

    assert await raw.rest() == frame(b"first")
    raw.close()


async def test_the_end_of_input_reaches_a_process_that_reads_once(api: Api) -> None:
    web(api, open_stdin=True, stdin_once=True)
    raw, stream = await attached(api, ALL)

    raw.writer.write(b"word")
    raw.writer.write_eof()
    await until(lambda: stream.input_ended)
    stream.say(b"later")
    stream.end()

    assert bytes(stream.input) == b"word"
    assert await raw.rest() == frame(b"later")
    raw.close()


async def test_the_end_of_input_ends_an_attach_to_a_process_that_goes_on(api: Api) -> None:
    web(api, open_stdin=True)
    raw, stream = await attached(api, ALL)

    raw.writer.write(b"word")
    raw.writer.write_eof()

    assert await raw.rest() == b""
    assert (bytes(stream.input), stream.input_ended, stream.closed) == (b"word", False, True)
    raw.close()


async def test_without_input_the_end_of_the_clients_side_means_nothing(api: Api) -> None:
    web(api, open_stdin=True)
    raw, stream = await attached(api, BOTH)

    raw.writer.write_eof()
    await until(lambda: stream.reads)
    stream.say(b"still here")
    stream.end()

    assert await raw.rest() == frame(b"still here")
    assert not stream.input_ended
    raw.close()


async def test_input_that_nobody_reads_is_thrown_away(api: Api) -> None:
    web(api, open_stdin=True, stdin_once=True)
    raw, stream = await attached(api, ALL)
    stream.deaf = True

    raw.writer.write(b"x" * 1_000_000)
    async with asyncio.timeout(5):
        await raw.writer.drain()
    stream.say(b"out")
    stream.end()

    assert await raw.rest() == frame(b"out")
    raw.close()


async def test_a_client_that_goes_away_closes_the_stream(api: Api) -> None:
    web(api)
    raw, stream = await attached(api, BOTH)

    raw.close()

    await until(lambda: stream.closed)


async def test_a_half_closed_client_that_goes_away_closes_the_stream(api: Api) -> None:
    web(api)
    raw, stream = await attached(api, BOTH)
    raw.writer.write_eof()
    stream.say(b"x")
    await raw.exactly(len(frame(b"x")))

    raw.close()

    await until(lambda: stream.closed)


@pytest.mark.parametrize(
    ("query", "pieces", "passed"),
    [
        ("", [b"ab\x10\x11cd"], b"ab"),
        ("", [b"a\x10", b"b\x10", b"\x11"], b"a\x10b"),
        ("&detachKeys=ctrl-x,x", [b"\x18\x18", b"x"], b"\x18"),
        ("&detachKeys=q", [b"abq"], b"ab"),
    ],
)
async def test_the_detach_keys_leave_the_process_running(
    api: Api, query: str, pieces: list[bytes], passed: bytes
) -> None:
    web(api, tty=True, open_stdin=True, stdin_once=True)
    raw, stream = await attached(api, ALL + query)

    for piece in pieces:
        raw.writer.write(piece)
        await raw.writer.drain()

    assert await raw.rest() == b""
    await until(lambda: stream.closed)
    assert (bytes(stream.input), stream.input_ended) == (passed, False)
    raw.close()


async def test_without_a_terminal_the_detach_keys_are_octets(api: Api) -> None:
    web(api, open_stdin=True, stdin_once=True)
    raw, stream = await attached(api, ALL)

    raw.writer.write(b"\x10\x11")
    raw.writer.write_eof()

    await until(lambda: stream.input_ended)
    assert bytes(stream.input) == b"\x10\x11"
    raw.close()


async def test_input_is_not_attached_to_a_container_without_one(api: Api) -> None:
    web(api)

    raw, stream = await attached(api, ALL)
    raw.writer.write(b"x")
    stream.end()
    await raw.rest()

    assert api.daemon.containers.calls == [("attach", False, True, True)]
    assert bytes(stream.input) == b""
    raw.close()


async def test_past_output_comes_first(api: Api) -> None:
    web(api)
    api.daemon.containers.lines = [LogLine("stdout", 1, b"past\n"), LogLine("stderr", 2, b"e\n")]
    raw, stream = await attached(api, f"{BOTH}&logs=1")

    stream.say(b"now\n")
    stream.end()

    assert await raw.rest() == frame(b"past\n") + frame(b"e\n", 2) + frame(b"now\n")
    raw.close()


async def test_past_output_alone_ends(api: Api) -> None:
    api.daemon.containers.add(container("web"))
    api.daemon.containers.lines = [LogLine("stdout", 1, b"past\n")]

    raw = await api.upgrade("/containers/web/attach?logs=1&stdout=1")

    assert await raw.rest() == frame(b"past\n")
    raw.close()


async def test_a_reader_that_never_reads_holds_the_process_up(api: Api) -> None:
    web(api)
    raw, stream = await attached(api, BOTH)
    raw.writer.transport.pause_reading()
    for _ in range(1000):
        stream.say(b"x" * 65536)

    await _settled(stream)

    # What the kernel's and our buffers take is little beside the 64 MB that wait.
    assert stream.reads < 40
    raw.close()
    await until(lambda: stream.closed)


async def _settled(stream: FakeStream) -> None:
    """Wait until no more is read."""
    async with asyncio.timeout(5):
        while True:
            before = stream.reads
            await asyncio.sleep(0.1)
            if stream.reads == before:
                return


async def test_an_error_before_the_upgrade_leaves_http(api: Api) -> None:
    request = (
        b"POST /containers/nosuch/attach?stream=1 HTTP/1.1\r\nHost: d\r\n"
        b"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n\r\n"
    )
    raw = await api.raw(request + b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n")

    assert b"404 Not Found" in await raw.until(b"\r\n\r\n")
    assert await raw.until(b"\n") == b'{"message":"No such container: nosuch"}\n'
    assert b"200 OK" in await raw.until(b"\r\n\r\n")
    assert await raw.exactly(2) == b"OK"
    raw.close()


# Exec.


async def test_exec_passes_both_ways_and_ends(api: Api) -> None:
    web(api)
    raw, stream, _ = await begun(api, AttachStdin=True, AttachStdout=True)

    raw.writer.write(b"in")
    raw.writer.write_eof()
    await until(lambda: stream.input_ended)
    stream.say(b"out")
    stream.end()

    assert raw.head == HEAD_101
    assert await raw.rest() == frame(b"out")
    assert bytes(stream.input) == b"in"
    raw.close()


@pytest.mark.parametrize("upgrade", [(), ("Connection: Upgrade", "Upgrade: tcp")])
async def test_input_and_its_end_may_come_with_the_request(
    api: Api, upgrade: tuple[str, ...]
) -> None:
    web(api)
    created = await api("POST", "/containers/web/exec", {"Cmd": ["cat"], "AttachStdin": True})
    id_ = created.json["Id"]

    raw = await api.post_raw(f"/exec/{id_}/start", b'{"Tty":false}', *upgrade, after=b"early")
    raw.writer.write_eof()
    stream = api.daemon.execs.streams[id_]
    await until(lambda: stream.input_ended)
    stream.say(b"out")
    stream.end()

    assert bytes(stream.input) == b"early"
    assert (await raw.rest()).endswith(b"\r\n\r\n" + frame(b"out"))
    raw.close()


async def test_a_detached_exec_is_answered_with_nothing(api: Api) -> None:
    web(api)
    created = await api("POST", "/containers/web/exec", {"Cmd": ["sh"]})

    answer = await api("POST", f"/exec/{created.json['Id']}/start", {"Detach": True})

    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")
    assert api.daemon.execs.calls[-1] == ("start", created.json["Id"], True, None)


async def test_the_terminals_size_is_passed_on(api: Api) -> None:
    web(api)

    raw, stream, id_ = await begun(api, b'{"Tty":true,"ConsoleSize":[33,99]}', Tty=True)
    stream.say(b"raw\r\n")
    stream.end()

    assert b"application/vnd.docker.raw-stream" in raw.head
    assert await raw.rest() == b"raw\r\n"
    assert api.daemon.execs.calls[-1] == ("start", id_, False, (33, 99))
    raw.close()


@pytest.mark.parametrize("error", [InvalidError, InternalError])
async def test_a_command_that_cannot_be_run_is_told_in_the_output(
    api: Api, error: type[Exception]
) -> None:
    web(api)
    api.daemon.execs.errors["start"] = error("executable file not found in $PATH")

    raw, _, _ = await begun(api)

    assert raw.head == HEAD_101
    assert await raw.rest() == frame(b"executable file not found in $PATH\r\n")
    raw.close()


async def test_a_detached_command_that_cannot_be_run_is_an_error(api: Api) -> None:
    web(api)
    api.daemon.execs.errors["start"] = InvalidError("executable file not found in $PATH")
    created = await api("POST", "/containers/web/exec", {"Cmd": ["sh"]})

    answer = await api("POST", f"/exec/{created.json['Id']}/start", {"Detach": True})

    assert (answer.status, answer.message) == (400, "executable file not found in $PATH")


async def test_a_second_start_says_so_in_the_output(api: Api) -> None:
    web(api)
    first, stream, id_ = await begun(api)
    stream.end()
    await first.rest()

    raw = await api.upgrade(f"/exec/{id_}/start", b"{}")

    assert await raw.rest() == frame(f"Error: Exec command {id_} has already run\r\n".encode())
    first.close()
    raw.close()


async def test_the_detach_keys_of_an_exec_are_those_of_its_creation(api: Api) -> None:
    web(api)
    raw, stream, _ = await begun(api, Tty=True, AttachStdin=True, DetachKeys="x")

    raw.writer.write(b"ax")

    assert await raw.rest() == b""
    await until(lambda: stream.closed)
    assert bytes(stream.input) == b"a"
    raw.close()


async def test_an_exec_is_inspected(api: Api) -> None:
    web(api)
    request = {
        "Cmd": ["sh", "-c", "x"], "Env": ["A=b"], "User": "me", "WorkingDir": "/", "Tty": True,
        "AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Privileged": True,
        "DetachKeys": "ctrl-a", "ConsoleSize": [1, 2],
    }  # fmt: skip
    id_ = (await api("POST", "/containers/web/exec", request)).json["Id"]

    answer = (await api("GET", f"/exec/{id_}/json")).json

    assert missing_fields("exec", answer) == set()
    assert (answer["Running"], answer["ExitCode"], answer["Pid"]) == (False, None, 0)
    assert answer["ProcessConfig"] == {
        "tty": True, "entrypoint": "sh", "arguments": ["-c", "x"], "privileged": True, "user": "me",
    }  # fmt: skip
    assert (await api("GET", "/containers/web/json")).json["ExecIDs"] == [id_]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"Cmd": []}, "No exec command specified"),
        ({"Cmd": None}, "No exec command specified"),
        ({"Cmd": ["x"], "Env": ["=y"]}, "invalid environment variable: '=y'"),
        ({"Cmd": ["x"], "WorkingDir": "y"}, "the working directory 'y' is invalid, it needs to be"),
        ({"Cmd": ["x"], "DetachKeys": "ctrl-"}, "invalid detach keys (ctrl-)"),
        ({"Cmd": 1}, "invalid JSON: Cmd: expected "),
    ],
)
async def test_an_exec_that_makes_no_sense_is_refused(
    api: Api, body: dict[str, Any], message: str
) -> None:
    web(api)

    answer = await api("POST", "/containers/web/exec", body)

    assert answer.status == 400
    assert answer.message.startswith(message)


async def test_an_exec_in_a_stopped_container_is_a_conflict(api: Api) -> None:
    made = api.daemon.containers.add(container("web"))

    answer = await api("POST", "/containers/web/exec", {"Cmd": ["sh"]})

    assert (answer.status, answer.message) == (409, f"container {made.id} is not running")


@pytest.mark.parametrize("verb", ["json", "start", "resize?h=1&w=1"])
async def test_an_unknown_exec_is_not_found(api: Api, verb: str) -> None:
    answer = await api("GET" if verb == "json" else "POST", f"/exec/x/{verb}")

    assert (answer.status, answer.message) == (404, "No such exec instance: x")


async def test_a_size_that_cannot_be_is_refused_before_the_start(api: Api) -> None:
    web(api)
    id_ = (await api("POST", "/containers/web/exec", {"Cmd": ["sh"]})).json["Id"]

    answer = await api("POST", f"/exec/{id_}/start", {"ConsoleSize": [1, 70000]})

    assert (answer.status, answer.message) == (400, "invalid terminal size: (1, 70000)")


# Logs.


async def test_logs_are_frames_with_stamps_of_nine_digits(api: Api) -> None:
    web(api)
    api.daemon.containers.lines = [
        LogLine("stdout", 1795458264123456780, b"a\n"), LogLine("stderr", 1, b"b"),
    ]  # fmt: skip

    answer = await api("GET", "/containers/web/logs?stdout=1&stderr=1&timestamps=1")

    assert answer.headers["Content-Type"] == "application/vnd.docker.multiplexed-stream"
    assert answer.body == frame(b"2026-11-23T18:24:24.123456780Z a\n") + frame(
        b"1970-01-01T00:00:00.000000001Z b", 2
    )


async def test_logs_of_a_terminal_are_raw(api: Api) -> None:
    web(api, tty=True)
    api.daemon.containers.lines = [LogLine("stdout", 1, b"a\r\n")]

    answer = await api("GET", "/containers/web/logs?stdout=1")

    assert answer.body == b"a\r\n"


async def test_logs_pass_on_what_is_wanted(api: Api) -> None:
    web(api)

    await api("GET", "/containers/web/logs?stderr=1&since=1795458545.755966227&tail=7")

    assert ("logs", False, True, False, 1795458545755966227, 7) in api.daemon.containers.calls


async def test_followed_logs_come_at_once(api: Api) -> None:
    web(api)
    api.daemon.containers.lines = [LogLine("stdout", 1, b"a\n")]
    raw = await api.raw("GET /containers/web/logs?stdout=1&follow=1 HTTP/1.1\r\nHost: d\r\n\r\n")

    assert b"200 OK" in await raw.until(b"\r\n\r\n")
    assert frame(b"a\n") in await raw.until(b"a\n")
    raw.close()

    await until(lambda: ("logs closed",) in api.daemon.containers.calls)


async def test_a_container_without_a_log_has_none_to_read(api: Api) -> None:
    api.daemon.containers.add(container("web", host=HostConfig(log_driver="none")))

    answer = await api("GET", "/containers/web/logs?stdout=1")

    assert answer.status == 501
    assert answer.message == "configured logging driver does not support reading"


async def test_logs_that_break_off_do_not_end_well(api: Api) -> None:
    web(api)
    api.daemon.containers.errors["logs"] = InternalError("disk gone")
    raw = await api.raw("GET /containers/web/logs?stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n")

    answer = await raw.rest()

    assert not answer.endswith(b"0\r\n\r\n")
    raw.close()


# Wait.


async def test_wait_sends_its_head_at_once(api: Api) -> None:
    made = api.daemon.containers.add(container("web"))
    raw = await api.post_raw("/containers/web/wait?condition=next-exit")

    head = await raw.until(b"\r\n\r\n")
    assert b"200 OK" in head and b"Transfer-Encoding: chunked" in head
    assert len(api.daemon.containers.waiters) == 1

    api.daemon.containers.exit(made.id, 3)

    assert b'{"StatusCode":3}\n' in await raw.until(b"0\r\n\r\n")
    raw.close()


async def test_wait_for_one_that_has_ended_answers(api: Api) -> None:
    state = State(Status.EXITED, exit_code=5, started=EPOCH, finished=EPOCH)
    api.daemon.containers.add(container("web", state=state))

    assert (await api("POST", "/containers/web/wait")).json == {"StatusCode": 5}


async def test_wait_for_the_removal_gives_the_exit_code(api: Api) -> None:
    state = State(Status.EXITED, exit_code=5, started=EPOCH, finished=EPOCH)
    api.daemon.containers.add(container("web", state=state))
    raw = await api.post_raw("/containers/web/wait?condition=removed")
    await raw.until(b"\r\n\r\n")

    await api("DELETE", "/containers/web")

    assert b'{"StatusCode":5}\n' in await raw.until(b"0\r\n\r\n")
    raw.close()


async def test_a_waiting_client_that_goes_away_leaves_nothing(api: Api) -> None:
    web(api)
    raw = await api.post_raw("/containers/web/wait")
    await raw.until(b"\r\n\r\n")

    raw.close()

    await until(lambda: len(api.daemon.containers.waiters) == 0)


# Events.


async def test_events_are_objects_a_line(api: Api) -> None:
    events = api.daemon.events
    raw = await api.raw("GET /events HTTP/1.1\r\nHost: d\r\n\r\n")
    assert b"200 OK" in await raw.until(b"\r\n\r\n")
    await until(lambda: events.listeners)

    events.container("start", container("web"))

    line = (await raw.until(b"}\n")).partition(b"\r\n")[2]
    import json

    event = json.loads(line)
    assert missing_fields("event", event) == set()
    assert (event["status"], event["id"], event["from"]) == (
        "start", container("web").id, "demo",
    )  # fmt: skip
    assert event["Actor"]["Attributes"] == {"image": "demo", "name": "web"}
    assert event["timeNano"] // 10**9 == event["time"]
    raw.close()
    await until(lambda: not events.listeners)


EVENT_FILTERS: list[tuple[str, list[str]]] = [
    ("{}", ["start", "exec_create: sh", "connect", "tag"]),
    ('{"event":["exec_create"]}', ["exec_create: sh"]),
    ('{"type":["network"]}', ["connect"]),
    ('{"container":["we"]}', ["start", "exec_create: sh", "connect"]),
    ('{"network":{"front":true}}', ["connect"]),
    ('{"image":["demo"]}', ["start", "exec_create: sh", "tag"]),
    ('{"label":["l=v"]}', ["start", "exec_create: sh"]),
    ('{"label":["l=v","no"]}', []),
    ('{"scope":["swarm"]}', []),
    ('{"volume":["x"]}', []),
]


@pytest.mark.parametrize(("filters", "actions"), EVENT_FILTERS)
async def test_events_are_filtered(api: Api, filters: str, actions: list[str]) -> None:
    events = api.daemon.events
    made = replace(container("web"), config=Config(image="demo", labels={"l": "v"}))
    events.container("start", made)
    events.container("exec_create: sh", made)
    events.publish("network", "connect", "n" * 64, {"name": "front", "container": "web"})
    events.publish("image", "tag", "sha256:" + "a" * 64, {"name": "demo:latest"})
    query = {"since": "1", "until": "4000000000", "filters": filters}

    found: list[str] = []
    async with api.session.get("http://d/events", params=query) as answer:
        while len(found) < len(actions):
            found.append((await asyncio.wait_for(answer.content.readline(), 5)).decode())

    assert [line.partition('"Action":"')[2].partition('"')[0] for line in found] == actions


async def test_events_of_the_past_end(api: Api) -> None:
    api.daemon.events.publish("network", "create", "n", {})

    answer = await api("GET", "/events?since=1&until=2")

    assert (answer.status, answer.body) == (200, b"")


@pytest.mark.parametrize("query", ["since=x", "until=nan", 'filters={"x":["y"]}', "since=1e999"])
async def test_events_with_values_that_cannot_be_are_refused(api: Api, query: str) -> None:
    assert (await api("GET", f"/events?{query}")).status == 400


# Keys.


def test_the_scanner_holds_back_what_may_become_the_keys() -> None:
    scanner = DetachScanner(detach_keys("a,a,b"))

    assert scanner.scan(b"a") == (b"", False)
    assert scanner.scan(b"a") == (b"", False)
    assert scanner.scan(b"a") == (b"a", False)
    assert scanner.scan(b"bx") == (b"", True)


@pytest.mark.parametrize(
    ("text", "keys"),
    [("", b"\x10\x11"), ("ctrl-@,ctrl-[,ctrl-_", b"\x00\x1b\x1f"), ("a,Z", b"aZ")],
)
def test_keys_are_octets(text: str, keys: bytes) -> None:
    assert detach_keys(text) == keys
