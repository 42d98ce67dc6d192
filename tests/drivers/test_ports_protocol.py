"""What is said to the process that holds ports."""

from errno import EADDRINUSE, EPROTONOSUPPORT
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.ports import Hold, PortRefusedError, PortsError, protocol
from drivers.ports.protocol import ProtocolError

ANY6 = ip_address("::")
HOLDS = (
    Hold("udp", ip_address("192.0.2.1"), 53),
    Hold("tcp", ip_address("fe80::1%eth0"), 1, count=65535),
    Hold("sctp", ANY6, 65535, dual=True),
    Hold("tcp", ANY6, 8000, 100, dual=True, target=ip_address("fd00::2"), target_port=80),
)
FIELDS = protocol.hold_fields(HOLDS[3])

VALUES = (None, True, -1, 0, 1, 65535, 65536, 1.5, "", "tcp", "::", "::1", "10.0.0.1", [], {})


def test_holds_survive_their_way() -> None:
    line = protocol.encoded({"holds": [protocol.hold_fields(hold) for hold in HOLDS]})

    assert line.endswith(b"\n") and b"\n" not in line[:-1]
    assert protocol.holds(protocol.decoded(line)) == HOLDS


def test_a_refusal_survives_its_way() -> None:
    refusal = PortRefusedError(HOLDS[3], 8001, EADDRINUSE)

    arrived = protocol.refusal(protocol.refusal_fields(refusal))

    assert str(arrived) == str(refusal) == "cannot hold port 8001/tcp of ::: Address already in use"
    assert (arrived.hold, arrived.port, arrived.errno) == (HOLDS[3], 8001, EADDRINUSE)


def test_a_kernel_without_the_protocol_is_named() -> None:
    refusal = PortRefusedError(HOLDS[2], 65535, EPROTONOSUPPORT)

    assert str(refusal) == "cannot hold port 65535/sctp of ::: this kernel has no SCTP"


def test_a_run_has_a_key_for_each_port() -> None:
    assert list(Hold("tcp", ANY6, 80, count=3, dual=True).keys) == [
        ("tcp", ANY6, 80, True),
        ("tcp", ANY6, 81, True),
        ("tcp", ANY6, 82, True),
    ]


def test_a_key_survives_its_way() -> None:
    key = ("tcp", ANY6, 80, True)

    assert protocol.key(protocol.key_fields(key)) == key
    with pytest.raises(ProtocolError, match="no held port: 'tcp'"):
        protocol.key("tcp")


@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b'"x"'])
def test_what_is_no_json_object_is_refused(line: bytes) -> None:
    with pytest.raises(ProtocolError):
        protocol.decoded(line)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"protocol": "icmp"}, "protocol is none of tcp, udp, sctp: 'icmp'"),
        ({"protocol": 6}, "protocol is no string: 6"),
        ({"address": "10.0.0.300"}, "no IP address: '10.0.0.300'"),
        ({"address": "::1"}, "only :: can be held together with IPv4: ::1"),
        ({"dual": "yes"}, "dual is neither true nor false: 'yes'"),
        ({"port": True}, "port is no integer: True"),
        ({"port": 0}, "ports are not within 1 to 65535: 100 from 0 on"),
        ({"port": 65500}, "ports are not within 1 to 65535: 100 from 65500 on"),
        ({"count": 0}, "ports are not within 1 to 65535: 0 from 8000 on"),
        ({"target": 7}, "target is no string: 7"),
        ({"target_port": 0}, "target's ports are not within 1 to 65535: 100 from 0 on"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(change: dict[str, object], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        protocol.hold({**FIELDS, **change})


def test_without_a_target_its_port_does_not_matter() -> None:
    assert protocol.hold({**FIELDS, "target": None, "target_port": 0}).target is None


@given(st.dictionaries(st.sampled_from([*FIELDS]), st.sampled_from(VALUES)))
def test_no_hold_is_misunderstood(fields: dict[str, object]) -> None:
    try:
        hold = protocol.hold({**FIELDS, **fields})
    except PortsError:
        return

    assert protocol.hold(protocol.hold_fields(hold)) == hold
