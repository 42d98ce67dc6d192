"""Attached to containers: every octet, in order, from the first to the last, both ways."""

import asyncio
import hashlib
import os
import resource
from pathlib import Path

import pytest

from runtime.errors import MonitorError
from runtime.streams import AttachStream
from tests.containers import DEADLINE_S, Host, everything, until

pytestmark = pytest.mark.kernel
MIB = 1 << 20


async def digest_of_output(stream: AttachStream) -> tuple[str, int]:
    digest, length = hashlib.sha256(), 0
    while packet := await asyncio.wait_for(stream.read(), DEADLINE_S):
        digest.update(packet[1])
        length += len(packet[1])
    return digest.hexdigest(), length


async def test_output_and_errors_arrive_apart_from_the_first_octet(host: Host) -> None:
    container = await host.create("sh", "-c", "echo out; echo err >&2; echo -n end")
    streams = await asyncio.gather(*(container.attach(stdin=False) for _ in range(15)))

    await container.start()

    for stream in streams:
        assert await everything(stream) == (b"out\nend", b"err\n")


async def test_nothing_is_lost_of_containers_that_end_at_once(host: Host) -> None:
    for number in range(10):
        container = await host.create("echo", str(number))
        stream = await container.attach(stdin=False)
        await container.start()
        assert await everything(stream) == (b"%d\n" % number, b"")
        await container.ended()
        assert f"F {number}\n" in container.logged()


async def test_input_reaches_the_process_and_its_end_too(host: Host) -> None:
    container = await host.run("cat", stdin=True)
    stream = await container.attach()

    await stream.write(b"hello\n")
    assert await asyncio.wait_for(stream.read(), DEADLINE_S) == (1, b"hello\n")
    stream.write_eof()

    assert await asyncio.wait_for(stream.read(), DEADLINE_S) is None
    assert (await container.ended()).code == 0


async def test_input_written_before_the_start_is_not_lost(host: Host) -> None:
    container = await host.create("cat", stdin=True)
    stream = await container.attach()
    await stream.write(b"early")
    stream.write_eof()

    await container.start()

    assert await everything(stream) == (b"early", b"")


async def test_much_data_goes_both_ways_unchanged(host: Host) -> None:
    container = await host.create("cat", stdin=True)
    stream = await container.attach()
    await container.start()
    block, blocks = os.urandom(MIB), 64

    async def write() -> None:
        for _ in range(blocks):
            await stream.write(block)
        stream.write_eof()

    (digest, length), _ = await asyncio.gather(digest_of_output(stream), write())

    assert (digest, length) == (hashlib.sha256(block * blocks).hexdigest(), blocks * MIB)
    assert (await container.ended()).code == 0


async def test_a_slow_reader_slows_the_process_and_fills_no_memory(host: Host) -> None:
    container = await host.create("dd", "if=/dev/zero", "bs=1M", "count=64", "status=none")
    stream = await container.attach(stdin=False)
    await container.start()
    await until(lambda: b"pipe" in waiting_in(container.pid))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    assert not await host_has_ended(host, container.id)
    assert (await digest_of_output(stream))[1] == 64 * MIB
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024  # KiB
    assert (await container.ended()).code == 0


def waiting_in(pid: int) -> bytes:
    return Path(f"/proc/{pid}/wchan").read_bytes()


async def host_has_ended(host: Host, id_: str) -> bool:
    state = await host.oci.state(id_)
    return not state or state["status"] != "running"


async def test_one_who_never_reads_does_not_hide_the_end(host: Host) -> None:
    container = await host.create("sh", "-c", "yes | head -c 140000; exit 4")
    stream = await container.attach(stdin=False)
    await container.start()

    assert (await container.ended()).code == 4

    assert await everything(stream) == (b"y\n" * 70000, b"")


async def test_killing_a_container_that_nobody_reads_ends_it(host: Host) -> None:
    container = await host.create("yes")
    stream = await container.attach(stdin=False)
    await container.start()
    await until(lambda: b"pipe" in waiting_in(container.pid))

    await host.oci.kill(container.id, "KILL")

    assert (await container.ended()).code == 137
    output, _ = await everything(stream)
    assert output == (b"y\n" * len(output))[: len(output)]


async def test_leaving_does_not_disturb_the_process(host: Host) -> None:
    container = await host.run("sh", "-c", "read x; echo got $x; read y; echo got $y",
                               stdin=True, stdin_once=False)  # fmt: skip
    first = await container.attach()
    await first.write(b"one\n")
    assert await asyncio.wait_for(first.read(), DEADLINE_S) == (1, b"got one\n")
    first.close()

    second = await container.attach()
    await second.write(b"two\n")

    assert await everything(second) == (b"got two\n", b"")


async def test_input_ends_with_the_first_client_if_so_wished(host: Host) -> None:
    container = await host.run("cat", stdin=True, stdin_once=True)
    stream = await container.attach()

    stream.close()

    assert (await container.ended()).code == 0


async def test_a_terminal_is_one_stream_and_stays_when_a_client_leaves(host: Host) -> None:
    container = await host.run("sh", stdin=True, terminal=True)
    first = await container.attach()
    await first.write(b"echo one; echo two >&2\n")
    seen = b""
    while b"\r\ntwo\r\n" not in seen:
        packet = await asyncio.wait_for(first.read(), DEADLINE_S)
        assert packet and packet[0] == 1
        seen += packet[1]
    first.close()

    second = await container.attach()
    await second.write(b"exit 9\n")

    assert (await container.ended()).code == 9


async def test_writing_without_input_is_dropped(host: Host) -> None:
    container = await host.run("sleep", "1000")
    stream = await container.attach(stdin=False)

    await asyncio.wait_for(stream.write(b"x" * 10 * MIB), DEADLINE_S)
    stream.write_eof()

    await host.oci.kill(container.id, "KILL")
    assert await everything(stream) == (b"", b"")


async def test_writing_to_a_process_that_ended_is_an_error(host: Host) -> None:
    container = await host.create("true", stdin=True)
    stream = await container.attach()
    await container.start()
    await container.ended()

    with pytest.raises(ConnectionError):
        await asyncio.wait_for(stream.write(b"x" * 10 * MIB), DEADLINE_S)


async def test_closing_wakes_who_reads_and_who_writes(host: Host) -> None:
    container = await host.run("sleep", "1000", stdin=True)
    stream = await container.attach()
    reading = asyncio.ensure_future(stream.read())
    writing = asyncio.ensure_future(stream.write(b"x" * 10 * MIB))
    await until(lambda: stream._writer)

    stream.close()
    stream.close()

    assert await asyncio.wait_for(reading, DEADLINE_S) is None
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(writing, DEADLINE_S)


async def test_a_read_that_is_cancelled_loses_nothing(host: Host) -> None:
    container = await host.create("sh", "-c", "for i in $(seq 200); do echo $i; done")
    stream = await container.attach(stdin=False)
    await container.start()
    got = b""

    while True:
        reading = asyncio.ensure_future(stream.read())
        await asyncio.sleep(0)
        reading.cancel()
        done = (await asyncio.gather(reading, return_exceptions=True))[0]
        if isinstance(done, asyncio.CancelledError):
            done = await asyncio.wait_for(stream.read(), DEADLINE_S)
        if done is None:
            break
        assert isinstance(done, tuple)
        got += done[1]

    assert got == b"".join(b"%d\n" % number for number in range(1, 201))


async def test_attaching_to_what_is_not_there_is_an_error(host: Host) -> None:
    container = await host.run("true")
    await container.ended()
    before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(MonitorError, match="cannot attach"):
        await container.attach()

    assert len(list(Path("/proc/self/fd").iterdir())) == before


async def test_long_folders_are_no_hindrance(host: Host) -> None:
    host.folder = host.folder / ("long" * 30)
    container = await host.create("echo", "hello")
    stream = await container.attach(stdin=False)
    assert len(str(container.bundle)) > 200

    await container.start()

    assert await everything(stream) == (b"hello\n", b"")
    terminal = await host.create("echo", "hello", terminal=True)
    await terminal.start()
    assert (await terminal.ended()).code == 0
