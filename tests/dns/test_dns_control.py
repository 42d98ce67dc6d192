"""The control messages and their frames, good and bad."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dns import control
from dns.channel import Channel, ChannelError, Frame
from dns.control import ControlError, Snapshot
from dns.forward import Forwarder
from dns.verbs import Verbs

VERBS = [
    *("hello", "synchronise", "put_network", "remove_network", "put_endpoint", "remove_endpoint"),
    *("put_view", "open_view", "close_view", "nothing"),
]
KEYS = [
    *("id", "name", "network", "endpoint", "view", "snapshot", "networks", "endpoints", "views"),
    *("names", "addresses", "ptr"),
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("10.0.0.1"),
    lambda values: (
        st.lists(values, max_size=3)
        | st.dictionaries(st.sampled_from([*KEYS, "upstreams", "address", "port"]), values)
    ),
    max_leaves=15,
)


@pytest.fixture
async def ends() -> AsyncIterator[tuple[Channel, Channel, socket.socket]]:
    """Return two channels' ends, and the raw socket of the first."""
    left, right = socket.socketpair()
    channels = Channel(left), Channel(right)
    yield *channels, left
    for channel in channels:
        channel.close()


async def test_a_snapshot_survives_its_way(snapshot: Snapshot) -> None:
    payload = control.encoded(control.snapshot_fields(snapshot))

    assert control.snapshot(control.decoded(payload)) == snapshot


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000, b'"x"'])
def test_what_is_no_json_object_is_refused(payload: bytes) -> None:
    with pytest.raises(ControlError):
        control.decoded(payload)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": 7}, "id is no string: 7"),
        ({"networks": "front"}, "networks is no list: 'front'"),
        ({"networks": [1]}, "networks holds what is no string: 1"),
        ({"upstreams": [7]}, "upstream is no object: 7"),
        ({"upstreams": [{"address": "x", "port": 53}]}, "no IP address: 'x'"),
        ({"upstreams": [{"address": "::1", "port": True}]}, "port is no integer: True"),
        ({"upstreams": [{"address": "::1", "port": 65536}]}, "port is none of 1 to 65535: 65536"),
    ],
)
def test_a_wrong_field_is_named_with_its_value(change: dict[str, object], words: str) -> None:
    with pytest.raises(ControlError, match=words):
        control.view({"id": "v", "networks": [], "upstreams": [], **change})


@given(st.sampled_from(VERBS), st.dictionaries(st.sampled_from(KEYS), JSON))
def test_no_request_does_harm(verb: str, fields: dict[str, object]) -> None:
    verbs = Verbs(Forwarder(1))

    try:
        result = verbs.perform({"verb": verb, **fields}, Frame(b"", []))
    except ControlError as error:
        result = str(error)

    control.encoded({"result": result})


async def test_frames_arrive_as_they_were_sent(ends) -> None:
    left, right, _ = ends
    payloads = [b"", b"a", b"x" * 1_000_000, b"end"]

    async def send() -> None:
        for payload in payloads:
            await left.send(payload)

    sending = asyncio.create_task(send())

    received = [await right.receive() for _ in payloads]

    assert [frame.payload for frame in received] == payloads
    await sending


async def test_descriptors_stay_with_their_frame(ends) -> None:
    left, right, _ = ends
    reading, writing = os.pipe()
    await left.send(b"plain")
    await left.send(b"one", (reading,))
    await left.send(b"two", (writing, reading))

    frames = [await right.receive() for _ in range(3)]
    taken = [frame.taken() for frame in frames]

    assert [len(descriptors) for descriptors in taken] == [0, 1, 2]
    assert os.fstat(taken[1][0]) == os.fstat(taken[2][1]) == os.fstat(reading)
    received = [descriptor for descriptors in taken for descriptor in descriptors]
    assert not any(os.get_inheritable(descriptor) for descriptor in received)
    for descriptor in (reading, writing, *received):
        os.close(descriptor)


async def test_a_closed_frame_has_closed_its_descriptors(ends) -> None:
    left, right, _ = ends
    reading, writing = os.pipe()
    await left.send(b"", (writing,))
    os.close(writing)

    (await right.receive()).close()

    assert os.read(reading, 1) == b""  # the last writer is gone
    os.close(reading)


async def test_descriptors_of_an_unfinished_frame_are_closed_with_the_channel(ends) -> None:
    left, right, raw = ends
    reading, writing = os.pipe()
    socket.send_fds(raw, [b"\0\0\1\0\1"], [writing])
    os.close(writing)
    left.close()

    assert await right.receive() is None
    right.close()

    assert os.read(reading, 1) == b""
    os.close(reading)


@pytest.mark.parametrize(
    "octets",
    [b"\xff\xff\xff\xff\0", b"\0\0\0\1\xff", b"\0\0\0\0\1"],
    ids=["too long", "too many sockets", "sockets missing"],
)
async def test_what_is_no_frame_ends_the_channel(ends, octets: bytes) -> None:
    _, right, raw = ends
    raw.send(octets)

    with pytest.raises(ChannelError):
        await right.receive()
