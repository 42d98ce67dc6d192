from ipaddress import ip_address

import pytest
from dnslib import EDNS0, OPCODE, QTYPE, DNSQuestion, DNSRecord, EDNSOption
from hypothesis import given
from hypothesis import strategies as st

from dns.answers import response
from dns.control import EndpointRecords, NetworkRecords, Snapshot, View
from dns.question import Question
from dns.records import TTL_S, Records

INTERNAL = View("internal", ("front",))
OPEN = View("open", ("front",), ((ip_address("192.0.2.1"), 53),))


def filled() -> Records:
    def endpoint(name: str, number: int) -> EndpointRecords:
        addresses = (ip_address("10.1.0.0") + number, ip_address("fd01::") + number)
        return EndpointRecords(name, "front", (name, "all"), addresses, f"{name}.front")

    records = Records()
    endpoints = tuple(endpoint(f"web{number}", number) for number in range(1, 301))
    records.replace(Snapshot((NetworkRecords("front", "front"),), endpoints))
    return records


RECORDS = filled()


def asked(question: DNSRecord | bytes, view: View = OPEN, *, stream: bool = False) -> DNSRecord:
    octets = question if isinstance(question, bytes) else bytes(question.pack())
    reply = response(octets, view, RECORDS, stream=stream)
    assert isinstance(reply, bytes)
    return DNSRecord.parse(reply)


def with_opt(question: DNSRecord, size: int = 1232, **options: object) -> DNSRecord:
    question.add_ar(EDNS0(udp_len=size, **options))
    return question


def test_an_answer_repeats_the_question_and_has_a_resolvers_flags() -> None:
    question = DNSRecord.question("Web1.FRONT")

    answer = asked(question)

    header = answer.header
    assert (header.id, header.qr, header.rd, header.ra, header.aa) == (
        question.header.id,
        *[1] * 3,
        0,
    )
    assert str(answer.q.qname) == "Web1.FRONT."
    assert [(str(rr.rname), str(rr.rdata), rr.ttl) for rr in answer.rr] == [
        ("Web1.FRONT.", "10.1.0.1", TTL_S)
    ]


def test_recursion_desired_is_copied() -> None:
    question = DNSRecord.question("web1")
    question.header.rd = 0

    assert asked(question).header.rd == 0


@pytest.mark.parametrize("name", ["1.0.1.10.in-addr.arpa", ip_address("fd01::1").reverse_pointer])
def test_reverse_questions_give_the_ptr_name(name: str) -> None:
    answer = asked(DNSRecord.question(name.upper(), "PTR"))

    assert [str(rr.rdata) for rr in answer.rr] == ["web1.front."]


@pytest.mark.parametrize("kind", ["MX", "TXT", "SRV", "HTTPS", "ANY", "PTR", "SOA", "NS", "CNAME"])
def test_a_known_name_has_no_other_types_and_is_not_forwarded(kind: str) -> None:
    answer = asked(DNSRecord.question("web1", kind))

    assert answer.header.rcode == 0
    assert answer.rr == []


def test_unknown_names_go_upstream_if_there_is_one() -> None:
    for name in ("nothere", "example.org", "9.9.9.9.in-addr.arpa", "."):
        packet = bytes(DNSRecord.question(name).pack())

        reply = response(packet, OPEN, RECORDS, stream=False)

        assert isinstance(reply, Question)
        assert reply.end == len(packet)


def test_unknown_names_do_not_exist_on_internal_networks() -> None:
    answer = asked(DNSRecord.question("example.org"), INTERNAL)

    assert answer.header.rcode == 3


def test_zone_transfers_are_refused() -> None:
    assert asked(DNSRecord.question("example.org", "AXFR"), stream=True).header.rcode == 5


def test_answers_too_long_for_udp_are_truncated_to_what_fits() -> None:
    packet = bytes(DNSRecord.question("all").pack())

    reply = response(packet, OPEN, RECORDS, stream=False)

    assert isinstance(reply, bytes)
    assert len(reply) <= 512
    assert DNSRecord.parse(reply).header.tc == 1
    assert len(DNSRecord.parse(reply).rr) == (512 - len(packet)) // 16


@pytest.mark.parametrize(("size", "largest"), [(0, 512), (1232, 1232), (4096, 4096), (65535, 4096)])
def test_the_askers_payload_size_is_respected_up_to_4096(size: int, largest: int) -> None:
    packet = bytes(with_opt(DNSRecord.question("all"), size).pack())

    reply = response(packet, OPEN, RECORDS, stream=False)

    assert isinstance(reply, bytes)
    assert largest - 16 < len(reply) <= largest
    assert DNSRecord.parse(reply).header.tc == 1


def test_answers_by_tcp_are_whole() -> None:
    answer = asked(DNSRecord.question("all"), stream=True)

    assert answer.header.tc == 0
    assert len(answer.rr) == 300


def test_edns_is_answered_with_edns_and_its_dnssec_flag() -> None:
    question = with_opt(DNSRecord.question("web1"), flags="do", opts=[EDNSOption(10, b"8 octets")])

    answer = asked(question)

    assert [(opt.rtype, opt.rclass, opt.edns_do, opt.edns_ver) for opt in answer.ar] == [
        (QTYPE.OPT, 4096, 1, 0)
    ]
    assert [str(rr.rdata) for rr in answer.rr] == ["10.1.0.1"]
    assert asked(DNSRecord.question("web1")).ar == []


def test_another_version_of_edns_is_told_so() -> None:
    answer = asked(with_opt(DNSRecord.question("web1"), version=1))

    assert answer.header.rcode == 0
    assert [(opt.edns_rcode, opt.edns_ver) for opt in answer.ar] == [(1, 0)]  # 16 is BADVERS
    assert answer.rr == []


def test_two_opt_records_are_a_malformed_question() -> None:
    assert asked(with_opt(with_opt(DNSRecord.question("web1")))).header.rcode == 1


def test_further_records_do_not_matter() -> None:
    question = with_opt(DNSRecord.question("web1"))
    question.add_answer(*DNSRecord.question("x").reply().rr)
    question.add_auth(*asked(DNSRecord.question("web2")).rr)

    assert [str(rr.rdata) for rr in asked(question).rr] == ["10.1.0.1"]


def test_responses_and_fragments_are_never_answered() -> None:
    packet = bytes(DNSRecord.question("web1").reply().pack())

    assert response(packet, OPEN, RECORDS, stream=False) is None
    assert response(packet[:11], OPEN, RECORDS, stream=False) is None
    assert response(b"", OPEN, RECORDS, stream=False) is None


@pytest.mark.parametrize("opcode", ["STATUS", "NOTIFY", "UPDATE"])
def test_other_operations_are_not_implemented(opcode: str) -> None:
    question = DNSRecord.question("web1")
    question.header.opcode = getattr(OPCODE, opcode)

    answer = asked(question)

    assert (answer.header.rcode, answer.header.opcode) == (4, getattr(OPCODE, opcode))


def test_other_classes_are_refused_and_any_is_taken_as_internet() -> None:
    assert asked(DNSRecord(q=DNSQuestion("web1", QTYPE.A, 3))).header.rcode == 5
    assert len(asked(DNSRecord(q=DNSQuestion("web1", QTYPE.A, 255))).rr) == 1


@pytest.mark.parametrize(
    "question",
    [
        b"",  # none at all
        b"\x04web1\0\0",  # cut
        b"\xc0\x0c\0\1\0\1",  # points to itself
        b"\xc0\x00\0\1\0\1",  # points to the header
        b"\x44" + b"x" * 68 + b"\0\0\1\0\1",  # a label of 68 octets
        b"\x3f" * 256 + b"\0\0\1\0\1",  # a name of 257 octets
    ],
)
def test_malformed_questions_are_told_so(question: bytes) -> None:
    packet = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + question

    assert (asked(packet).header.id, asked(packet).header.rcode) == (0x1234, 1)


def test_two_questions_are_malformed() -> None:
    question = DNSRecord.question("web1")
    question.add_question(DNSQuestion("web2"))

    assert asked(question).header.rcode == 1


def test_a_label_may_hold_any_octet() -> None:
    packet = b"\x12\x34\x01\0\0\1\0\0\0\0\0\0" + b"\x04a\0.b\x01c\0" + b"\0\1\0\1"

    assert isinstance(response(packet, OPEN, RECORDS, stream=False), Question)


def seeds() -> list[bytes]:
    questions = [
        DNSRecord.question("web1"),
        DNSRecord.question("all", "AAAA"),
        with_opt(DNSRecord.question("all"), flags="do", opts=[EDNSOption(10, b"8 octets")]),
        DNSRecord.question("1.0.1.10.in-addr.arpa", "PTR"),
        asked(with_opt(DNSRecord.question("web1"))),
    ]
    return [bytes(question.pack()) for question in questions]


mutated = st.builds(
    lambda packet, changes, cut: bytes(
        changes.get(position, octet) for position, octet in enumerate(packet)
    )[: cut or None],
    st.sampled_from(seeds()),
    st.dictionaries(st.integers(2, 60), st.integers(0, 255), max_size=4),
    st.integers(-20, 0),
)
headed = st.builds(
    lambda flags, counts, rest: b"id" + flags + counts + rest,
    st.sampled_from([b"\1\0", b"\0\0", b"\1\x30", b"\x81\0", b"\x29\0"]),
    st.lists(st.integers(0, 3), min_size=4, max_size=4).map(
        lambda counts: b"".join(count.to_bytes(2) for count in counts)
    ),
    st.binary(max_size=80),
)


@given(st.one_of(st.binary(max_size=600), mutated, headed), st.sampled_from([OPEN, INTERNAL]))
def test_no_packet_does_harm(packet: bytes, view: View) -> None:
    reply = response(packet, view, RECORDS, stream=False)

    if len(packet) < 12 or packet[2] & 0x80:
        assert reply is None
    elif isinstance(reply, Question):
        assert view is OPEN
        assert reply.end <= len(packet)
    else:
        assert reply is not None
        assert reply[:2] == packet[:2]
        assert reply[2] & 0x80
        assert len(reply) <= 4096
        DNSRecord.parse(reply)
