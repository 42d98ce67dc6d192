"""DNS over TCP, as good and bad clients use it."""

import asyncio
import contextlib
from ipaddress import ip_address

import pytest
from dnslib import DNSRecord

from dns import stream
from dns.control import View

INSIDE = View("inside", ("front", "back"))


def framed(question: DNSRecord) -> bytes:
    octets = bytes(question.pack())
    return len(octets).to_bytes(2) + octets


async def ended(reader: asyncio.StreamReader) -> bool:
    """Return whether the server closes the connection, without waiting for long."""
    async with asyncio.timeout(5):
        try:
            return await reader.read() == b""
        except ConnectionError:
            return True


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def test_several_questions_on_one_connection_are_all_answered(asker, opened) -> None:
    port = opened(INSIDE)
    questions = [asker.question(name) for name in ("web", "db", "api", "nothere")]

    answers = await asker.ask_stream(port, *questions)

    assert {answer.header.id for answer in answers} == {each.header.id for each in questions}
    assert sorted(len(answer.rr) for answer in answers) == [0, 1, 1, 2]


async def test_a_thousand_pipelined_questions_are_all_answered(asker, opened) -> None:
    port = opened(INSIDE)

    answers = await asker.ask_stream(port, *(asker.question("db") for _ in range(1000)))

    assert len(answers) == 1000


async def test_a_forwarded_question_does_not_hold_up_the_next(asker, opened, upstream) -> None:
    port = opened(View("asker", ("back",), ((ip_address("127.0.0.1"), upstream(hold).port),)))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(framed(asker.question("slow.example")) + framed(asker.question("db")))
    async with asyncio.timeout(2):
        length = int.from_bytes(await reader.readexactly(2))
        answer = DNSRecord.parse(await reader.readexactly(length))

    assert asker.values(answer) == ["10.2.0.4"]
    await close(writer)


def hold(packet: bytes) -> list[bytes]:
    return []


async def test_a_question_may_come_octet_by_octet(asker, opened) -> None:
    port = opened(INSIDE)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    for octet in framed(asker.question("db")):
        writer.write(bytes((octet,)))
        await writer.drain()
    writer.write_eof()

    assert DNSRecord.parse((await reader.read())[2:]).rr != []
    await close(writer)


@pytest.mark.parametrize("octets", [b"\0\0", b"\0\x0b" + bytes(11), b"\xff\xff" + bytes(100)])
async def test_what_can_be_no_question_ends_the_connection(opened, octets) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", opened(INSIDE))

    writer.write(octets)

    assert await ended(reader)
    await close(writer)


async def test_a_malformed_question_is_told_so_and_the_next_one_answered(asker, opened) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", opened(INSIDE))

    writer.write(b"\0\x0cid\1\0\0\1\0\0\0\0\0\0" + framed(asker.question("db")))
    writer.write_eof()
    octets = await reader.read()

    assert DNSRecord.parse(octets[2:14]).header.rcode == 1
    assert len(DNSRecord.parse(octets[16:]).rr) == 1
    await close(writer)


async def test_an_idle_connection_is_closed(monkeypatch, opened) -> None:
    monkeypatch.setattr(stream, "IDLE_S", 0.05)
    reader, writer = await asyncio.open_connection("127.0.0.1", opened(INSIDE))

    writer.write(b"\0")

    assert await ended(reader)
    await close(writer)


async def test_a_client_that_takes_no_answers_is_given_up(monkeypatch, asker, opened) -> None:
    monkeypatch.setattr(stream, "IDLE_S", 0.1)
    port = opened(INSIDE)
    _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
    question = framed(asker.question("web"))

    async def ask_for_ever() -> None:
        while True:
            writer.write(question * 10_000)
            await writer.drain()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(ask_for_ever(), 20)

    assert asker.values(await asker.ask(port, asker.question("db"))) == ["10.2.0.4"]
    await close(writer)


async def test_idle_clients_keep_nobody_out(asker, opened) -> None:
    port = opened(INSIDE)
    idle = [
        await asyncio.open_connection("127.0.0.1", port) for _ in range(stream.CONNECTIONS + 10)
    ]

    [answer] = await asker.ask_stream(port, asker.question("db"))

    assert asker.values(answer) == ["10.2.0.4"]
    assert await ended(idle[0][0])
    for _, writer in idle:
        await close(writer)
