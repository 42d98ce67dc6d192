"""GET /containers/{id}/logs and POST /containers/{id}/wait: answers that take their time."""

from netd.errors import InternalError
from netd.model import HostConfig, LogLine, State, Status
from tests.netd.api.conftest import Api, frame, settled, until, web
from tests.netd.makers import EPOCH, container


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


async def test_a_reader_that_never_reads_holds_the_logs_up(api: Api) -> None:
    web(api)
    lines = api.daemon.containers.lines = [LogLine("stdout", 1, b"x" * 65536)] * 1000
    raw = await api.raw("GET /containers/web/logs?stdout=1 HTTP/1.1\r\nHost: d\r\n\r\n")
    raw.writer.transport.pause_reading()

    told = await settled(lambda: api.daemon.containers.told)

    assert 0 < told < len(lines) / 10
    raw.close()
    await until(lambda: ("logs closed",) in api.daemon.containers.calls)
