"""Netlink messages as octets, and answers as the kernel writes them."""

import errno
import os
import struct

import pytest

from drivers import netlink
from drivers.netlink import (
    ACK_TLVS,
    CAPPED,
    DONE,
    ERROR,
    attribute,
    attributes,
    message,
    messages,
    nested,
    refusal,
    request,
    undisturbed,
)

pytestmark = pytest.mark.skipif(
    struct.pack("=H", 1) != b"\x01\x00", reason="the octets below are of a little-endian machine"
)


def error(code: int, after: bytes = b"") -> bytes:
    return struct.pack("=i", -code) + after


def said(words: str) -> bytes:
    return attribute(1, words.encode() + b"\0")


def test_a_message_is_a_header_and_a_body() -> None:
    assert message(18, 0x301, b"\0\0\0\0") == bytes.fromhex(
        "14000000120001030000000000000000 00000000"
    )


def test_a_request_asks_for_an_acknowledgement() -> None:
    assert request(16, b"", netlink.CREATE) == bytes.fromhex("10000000 1000 0504 00000000 00000000")


@pytest.mark.parametrize(
    ("value", "octets"),
    [
        (b"", "04000300"),
        (b"a", "05000300 61000000"),
        (b"abcd", "08000300 61626364"),
        (b"abcde", "09000300 6162636465000000"),
    ],
)
def test_an_attribute_is_padded_and_its_length_is_not(value: bytes, octets: str) -> None:
    assert attribute(3, value) == bytes.fromhex(octets)


def test_what_is_nested_says_so_and_is_read_without_that() -> None:
    octets = nested(18, attribute(1, b"veth"), attribute(2, b"x"))

    assert octets == bytes.fromhex("14001280 0800010076657468 0500020078000000")
    assert attributes(attributes(octets)[18]) == {1: b"veth", 2: b"x"}


def test_the_flag_of_network_order_is_no_part_of_a_type() -> None:
    assert attributes(attribute(0x4003, b"ab")) == {3: b"ab"}


def test_attributes_are_read_behind_a_structure() -> None:
    assert attributes(b"12345678" + attribute(1, b"a") + attribute(9, b"bc"), 8) == {
        1: b"a",
        9: b"bc",
    }


@pytest.mark.parametrize("octets", ["", "0400", "00000100", "03000100", "09000100 61626364"])
def test_attributes_that_are_cut_off_are_left_out(octets: str) -> None:
    assert attributes(attribute(7, b"good") + bytes.fromhex(octets)) == {7: b"good"}


def test_messages_are_read_one_after_another_over_their_padding() -> None:
    octets = message(16, 2, b"abcde") + bytes(3) + message(3, 2, b"")

    assert list(messages(octets)) == [(16, 2, b"abcde"), (3, 2, b"")]


@pytest.mark.parametrize("octets", [b"\x10\0\0", bytes(16), message(16, 0, b"abcd")[:-1]])
def test_messages_that_are_cut_off_are_left_out(octets: bytes) -> None:
    assert list(messages(message(16, 0, b"") + octets)) == [(16, 0, b"")]


@pytest.mark.parametrize(("kind", "body"), [(ERROR, error(0)), (DONE, error(0)), (DONE, b"")])
def test_zero_is_no_refusal(kind: int, body: bytes) -> None:
    assert refusal(kind, 0, body) is None


def test_a_refusal_has_its_code_and_the_words_of_the_c_library() -> None:
    refused = refusal(ERROR, CAPPED, error(errno.EEXIST, message(16, 0, b"")))

    assert isinstance(refused, FileExistsError)
    assert (refused.errno, refused.strerror) == (errno.EEXIST, os.strerror(errno.EEXIST))


@pytest.mark.parametrize(
    ("kind", "flags", "repeated"),
    [
        (ERROR, CAPPED, message(16, 0, b"long")[:16]),
        (ERROR, 0, message(16, 0, b"long")),
        (ERROR, 0, message(16, 0, b"longer") + b"\0\0"),
        (DONE, 0, b""),
    ],
)
def test_a_refusal_has_the_kernels_words(kind: int, flags: int, repeated: bytes) -> None:
    refused = refusal(kind, flags | ACK_TLVS, error(errno.EINVAL, repeated + said("bad MTU")))

    assert refused and refused.strerror == f"{os.strerror(errno.EINVAL)}: bad MTU"


def test_a_refusal_may_have_other_attributes_and_no_words() -> None:
    after = message(16, 0, b"") + attribute(2, struct.pack("=I", 20))

    refused = refusal(ERROR, CAPPED | ACK_TLVS, error(errno.EINVAL, after))

    assert refused and refused.strerror == os.strerror(errno.EINVAL)


def test_what_was_interrupted_is_read_again() -> None:
    outcomes: list[Exception | None] = [InterruptedError(), InterruptedError(), None]

    def read() -> int:
        if outcome := outcomes.pop(0):
            raise outcome
        return 7

    assert undisturbed(read) == 7


def test_reading_again_ends_where_things_never_stand_still() -> None:
    tried = []

    def read() -> int:
        tried.append(1)
        raise InterruptedError("again")

    with pytest.raises(InterruptedError, match="again"):
        undisturbed(read)

    assert len(tried) == netlink.ATTEMPTS
