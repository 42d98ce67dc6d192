"""`/exec`: further processes, and their streams."""

from typing import Any

import pytest

from netd.errors import InternalError, InvalidError
from tests.netd.api.conftest import HEAD_101, Api, Raw, frame, missing_fields, until, web
from tests.netd.fake_processes import FakeStream
from tests.netd.makers import container


async def begun(api: Api, body: bytes = b"{}", **request: Any) -> tuple[Raw, FakeStream, str]:
    """Create and start an exec in `web`; return both ends and its id."""
    created = await api("POST", "/containers/web/exec", {"Cmd": ["sh"], **request})
    id_ = created.json["Id"]
    raw = await api.upgrade(f"/exec/{id_}/start", body)
    return raw, api.daemon.execs.streams[id_], id_


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
