import asyncio

from netd.streams import ContainerStream


class FakeStream:
    """A stream that has some pieces to read and remembers what was written."""

    def __init__(self, *pieces: tuple[int, bytes]) -> None:
        self.pieces = [*pieces]
        self.written: list[bytes] = []

    async def read(self) -> tuple[int, bytes] | None:
        return self.pieces.pop(0) if self.pieces else None

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    def write_eof(self) -> None:
        self.written.append(b"EOF")

    def close(self) -> None:
        self.written.append(b"closed")


def opened(*outputs: int) -> ContainerStream:
    return ContainerStream(frozenset(outputs), lambda _: None)


async def test_reading_waits_for_the_start_and_gets_the_first_octet() -> None:
    stream = opened(1, 2)
    reading = asyncio.ensure_future(stream.read())
    await asyncio.sleep(0)

    stream.connect(FakeStream((1, b"first")))

    assert await reading == (1, b"first")
    assert await stream.read() is None


async def test_only_the_wanted_output_is_read() -> None:
    stream = opened(2)
    stream.connect(FakeStream((1, b"out"), (2, b"err"), (1, b"more")))

    assert await stream.read() == (2, b"err")
    assert await stream.read() is None


async def test_input_and_its_end_given_before_the_start_arrive() -> None:
    stream, source = opened(1), FakeStream()
    writing = asyncio.ensure_future(stream.write(b"in"))
    await asyncio.sleep(0)

    stream.connect(source)
    await writing
    stream.write_eof()
    await asyncio.sleep(0)

    assert source.written == [b"in", b"EOF"]


async def test_a_start_that_fails_ends_the_stream() -> None:
    stream = opened(1)
    stream.connect(None)

    assert await stream.read() is None


async def test_closing_lets_go_of_the_source() -> None:
    stream, source = opened(1), FakeStream()
    stream.connect(source)

    stream.close()

    assert source.written == [b"closed"]
