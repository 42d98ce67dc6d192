"""Views with upstreams, in this process; the upstreams are sockets that behave well or badly."""

import asyncio
import socket
from ipaddress import ip_address

import pytest
from dnslib import EDNS0, RR, DNSRecord

from dns import forward, view
from dns.control import View

LOCAL = ip_address("127.0.0.1")
WEB_SITE = "example.org"


def right(packet: bytes) -> list[bytes]:
    question = DNSRecord.parse(packet)
    reply = question.reply()
    reply.add_answer(*RR.fromZone(f"{question.q.qname} 60 A 192.0.2.7"))
    return [bytes(reply.pack())]


def silent(packet: bytes) -> list[bytes]:
    return []


def code(rcode: int):
    def answers(packet: bytes) -> list[bytes]:
        reply = DNSRecord.parse(packet).reply()
        reply.header.rcode = rcode
        return [bytes(reply.pack())]

    return answers


def towards(*upstreams) -> View:
    return View("asker", ("front",), tuple((LOCAL, each.port) for each in upstreams))


@pytest.fixture
def dead_port() -> int:
    """Return a port where nobody listens."""
    with socket.socket(type=socket.SOCK_DGRAM) as unused:
        unused.bind(("127.0.0.1", 0))
        return unused.getsockname()[1]


@pytest.fixture
def quick(monkeypatch) -> None:
    """Let time pass ten times as fast in the forwarder."""
    for name in ("DEADLINE_S", "STAGGER_S", "RESEND_S"):
        monkeypatch.setattr(forward, name, getattr(forward, name) / 10)


async def test_an_unknown_name_is_asked_upstream(asker, opened, upstream) -> None:
    server = upstream(right)
    port = opened(towards(server))
    question = asker.question(WEB_SITE)

    answer = await asker.ask(port, question)

    assert asker.values(answer) == ["192.0.2.7"]
    assert answer.header.id == question.header.id
    assert [packet[2:] for packet in server.questions] == [bytes(question.pack())[2:]]


async def test_known_names_are_not(asker, opened, upstream) -> None:
    server = upstream(right)
    port = opened(towards(server))

    for name, kind in (("web", "A"), ("api", "AAAA"), ("web", "MX"), ("web.front", "TXT")):
        await asker.ask(port, asker.question(name, kind))

    assert server.questions == []


async def test_each_question_has_another_id_and_source_port(asker, opened, upstream) -> None:
    server = upstream(right)
    port = opened(towards(server))

    for _ in range(20):
        await asker.ask(port, asker.question(WEB_SITE))

    assert len({packet[:2] for packet in server.questions}) > 15
    assert len(server.askers) > 15


async def test_tcp_is_asked_by_tcp_and_udp_by_udp(asker, opened, upstream) -> None:
    server = upstream(right)
    port = opened(towards(server))

    await asker.ask(port, asker.question("udp.example"))
    await asker.ask_stream(port, asker.question("tcp.example"))

    assert [str(DNSRecord.parse(each).q.qname) for each in server.by_udp] == ["udp.example."]
    assert [str(DNSRecord.parse(each).q.qname) for each in server.by_tcp] == ["tcp.example."]


async def test_what_upstream_says_of_a_name_is_passed_on(asker, opened, upstream) -> None:
    port = opened(towards(upstream(code(3))))

    assert asker.code(await asker.ask(port, asker.question(WEB_SITE))) == "NXDOMAIN"


@pytest.mark.parametrize("rcode", [2, 5])
async def test_an_upstream_that_cannot_answer_is_passed_over(
    asker, opened, upstream, rcode
) -> None:
    port = opened(towards(upstream(code(rcode)), upstream(right)))
    started = asyncio.get_running_loop().time()

    answer = await asker.ask(port, asker.question(WEB_SITE))

    assert asker.values(answer) == ["192.0.2.7"]
    assert asyncio.get_running_loop().time() - started < forward.STAGGER_S


async def test_a_dead_upstream_is_passed_over_at_once(asker, opened, upstream, dead_port) -> None:
    server = upstream(right)
    port = opened(View("asker", (), ((LOCAL, dead_port), (LOCAL, server.port))))
    started = asyncio.get_running_loop().time()

    by_udp = await asker.ask(port, asker.question(WEB_SITE))
    by_tcp = await asker.ask_stream(port, asker.question(WEB_SITE))

    assert asker.values(by_udp) == asker.values(by_tcp[0]) == ["192.0.2.7"]
    assert asyncio.get_running_loop().time() - started < forward.STAGGER_S


async def test_a_slow_upstream_is_raced_by_the_next(quick, asker, opened, upstream) -> None:
    slow, next_one = upstream(silent), upstream(right)
    port = opened(towards(slow, next_one))

    answer = await asker.ask(port, asker.question(WEB_SITE))

    assert asker.values(answer) == ["192.0.2.7"]
    assert len(slow.questions) == len(next_one.questions) == 1


async def test_a_lost_question_is_sent_again(quick, asker, opened, upstream) -> None:
    def forgetful(packet: bytes) -> list[bytes]:
        return right(packet) if len(server.questions) > 1 else []

    server = upstream(forgetful)
    port = opened(towards(server))

    assert asker.values(await asker.ask(port, asker.question(WEB_SITE))) == ["192.0.2.7"]


async def test_when_all_upstreams_are_silent_the_asker_learns_it_in_time(
    quick, asker, opened, upstream
) -> None:
    port = opened(towards(upstream(silent), upstream(silent)))
    question = asker.question(WEB_SITE)
    question.add_ar(EDNS0(udp_len=1232))

    answer = await asker.ask(port, question)

    assert asker.code(answer) == "SERVFAIL"
    assert str(answer.q.qname) == "example.org."
    assert len(answer.ar) == 1
    assert forward.DEADLINE_S * 10 < 5


async def test_when_all_upstreams_refuse_the_asker_learns_it(
    asker, opened, upstream, dead_port
) -> None:
    server = upstream(code(5))
    port = opened(View("asker", (), ((LOCAL, server.port), (LOCAL, dead_port))))

    by_udp = await asker.ask(port, asker.question(WEB_SITE))
    by_tcp = await asker.ask_stream(port, asker.question(WEB_SITE))

    assert asker.code(by_udp) == asker.code(by_tcp[0]) == "SERVFAIL"


async def test_an_upstream_that_closes_or_is_unreachable_counts_as_failed(
    asker, opened, upstream
) -> None:
    closing = upstream(silent)
    nowhere = (ip_address("255.255.255.255"), 53)
    port = opened(View("asker", (), ((LOCAL, closing.port), nowhere)))

    answers = await asker.ask_stream(port, asker.question(WEB_SITE))

    assert asker.code(answers[0]) == "SERVFAIL"


async def test_replies_that_do_not_match_the_question_are_not_believed(
    asker, opened, upstream
) -> None:
    def spoofed(packet: bytes) -> list[bytes]:
        [reply] = right(packet)
        wrong_id = bytes((reply[0] ^ 1,)) + reply[1:]
        wrong_name = right(packet[:2] + bytes(asker.question("evil.example").pack())[2:])[0]
        echo, short = packet, reply[:11]
        no_question = reply[:4] + b"\0\0" + reply[6:]
        return [wrong_id, wrong_name, echo, short, no_question, reply]

    port = opened(towards(upstream(spoofed)))

    answer = await asker.ask(port, asker.question(WEB_SITE))

    assert str(answer.q.qname) == "example.org."
    assert asker.values(answer) == ["192.0.2.7"]


async def test_replies_from_another_address_are_not_heard(quick, asker, opened, upstream) -> None:
    def from_elsewhere(packet: bytes) -> list[bytes]:
        [*_, peer] = server.askers
        with socket.socket(type=socket.SOCK_DGRAM) as other:
            other.sendto(right(packet)[0], peer)
        return []

    server = upstream(from_elsewhere)
    port = opened(towards(server))

    assert asker.code(await asker.ask(port, asker.question(WEB_SITE))) == "SERVFAIL"


async def test_truncated_replies_are_passed_on_as_such(asker, opened, upstream) -> None:
    def truncated(packet: bytes) -> list[bytes]:
        reply = DNSRecord.parse(packet).reply()
        reply.header.tc = 1
        return [bytes(reply.pack())]

    port = opened(towards(upstream(truncated)))

    assert (await asker.ask(port, asker.question(WEB_SITE))).header.tc == 1


async def test_replies_larger_than_the_asker_takes_are_cut(asker, opened, upstream) -> None:
    def long(packet: bytes) -> list[bytes]:
        reply = DNSRecord.parse(packet).reply()
        reply.add_answer(*RR.fromZone("\n".join(f"x 60 A 192.0.2.{last}" for last in range(100))))
        return [bytes(reply.pack())]

    port = opened(towards(upstream(long)))

    answer = await asker.ask(port, asker.question(WEB_SITE))

    assert (answer.header.tc, answer.rr) == (1, [])
    assert len((await asker.ask_stream(port, asker.question(WEB_SITE)))[0].rr) == 100


async def test_with_too_many_in_flight_the_next_is_refused(
    quick, monkeypatch, asker, opened, upstream
) -> None:
    monkeypatch.setattr(view, "IN_FLIGHT", 5)
    server = upstream(silent)
    port = opened(towards(server))
    waiting = [
        asyncio.create_task(asker.ask(port, asker.question(WEB_SITE)), name=str(number))
        for number in range(6)
    ]

    ended, others = await asyncio.wait(waiting, timeout=2, return_when=asyncio.FIRST_COMPLETED)

    assert [asker.code(each.result()) for each in ended] == ["REFUSED"]
    assert asker.values(await asker.ask(port, asker.question("web"))) == ["10.1.0.2"]
    for each in others:
        each.cancel()


async def test_a_flood_of_forwarded_questions_is_all_answered(asker, opened, upstream) -> None:
    port = opened(towards(upstream(right)))

    answers = await asyncio.gather(
        *(asker.ask(port, asker.question(f"name{number}.example")) for number in range(300))
    )

    assert {tuple(asker.values(answer)) for answer in answers} == {("192.0.2.7",)}
