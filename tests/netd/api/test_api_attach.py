"""POST /containers/{id}/attach: raw octets both ways."""

import asyncio

import pytest

from netd.api.keys import DetachScanner, detach_keys
from netd.model import LogLine
from tests.netd.api.conftest import HEAD_101, Api, Raw, frame, settled, until, web
from tests.netd.fake_processes import FakeStream
from tests.netd.makers import container

BOTH = "stream=1&stdout=1&stderr=1"
ALL = f"{BOTH}&stdin=1"


async def attached(api: Api, query: str, path: str = "") -> tuple[Raw, FakeStream]:
    """Attach to `web`; return both ends."""
    raw = await api.upgrade(f"{path}/containers/web/attach?{query}")
    (streams,) = api.daemon.containers.streams.values()
    return raw, streams[-1]


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

    # What the kernel's and our buffers take is little beside the 64 MB that wait.
    assert await settled(lambda: stream.reads) < 40
    raw.close()
    await until(lambda: stream.closed)


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
