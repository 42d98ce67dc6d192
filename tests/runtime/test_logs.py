"""Reading conmon's log files: lines, tails, times, and following."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path

import pytest

from runtime.logrecords import LogLine
from runtime.logs import read_log

SECOND = 1_000_000_000
START = 1_795_452_000  # 2026-11-23T16:40:00Z


def entry(second: int, text: str, stream: str = "stdout", tag: str = "F") -> str:
    return f"2026-11-23T16:40:{second:02}.000000001+00:00 {stream} {tag} {text}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ctr.log"


async def texts(path: Path, **options: object) -> list[bytes]:
    return [line.text async for line in read_log(path, **options)]  # type: ignore[arg-type]


async def test_a_log_that_is_not_there_is_empty(path: Path) -> None:
    assert await texts(path) == []


async def test_lines_carry_stream_time_and_newline(path: Path) -> None:
    path.write_text(entry(1, "one") + entry(2, "two", "stderr"))

    lines = [line async for line in read_log(path)]

    assert lines == [
        LogLine("stdout", (START + 1) * SECOND + 1, b"one\n"),
        LogLine("stderr", (START + 2) * SECOND + 1, b"two\n"),
    ]


async def test_local_times_become_utc(path: Path) -> None:
    path.write_text("2026-11-23T22:10:00.500000000+05:30 stdout F x\n")

    lines = [line async for line in read_log(path)]

    assert lines == [LogLine("stdout", START * SECOND + SECOND // 2, b"x\n")]


async def test_parts_are_joined_on_their_own_stream(path: Path) -> None:
    path.write_text(
        entry(1, "a", tag="P") + entry(2, "X", "stderr", "P") + entry(3, "b", tag="P")
        + entry(4, "Y", "stderr") + entry(5, "c")
    )  # fmt: skip

    lines = [line async for line in read_log(path)]

    assert [(line.text, line.time_ns // SECOND - START) for line in lines] == [
        (b"XY\n", 2),
        (b"abc\n", 1),
    ]


async def test_a_last_line_without_newline_is_told_at_the_end(path: Path) -> None:
    path.write_text(entry(1, "one") + entry(2, "$ ", tag="P"))

    assert await texts(path) == [b"one\n", b"$ "]


async def test_empty_lines_spaces_and_odd_octets_survive(path: Path) -> None:
    path.write_bytes(entry(1, "").encode() + entry(2, "  a  b ").encode()
                     + b"2026-11-23T16:40:03.1+00:00 stdout F \xff\x00\r\n")  # fmt: skip

    assert await texts(path) == [b"\n", b"  a  b \n", b"\xff\x00\r\n"]


async def test_damaged_lines_are_left_out(path: Path) -> None:
    path.write_text("rubbish\n" + entry(1, "one") + "2026 stdout F x\n\n" + entry(2, "two"))

    assert await texts(path) == [b"one\n", b"two\n"]


async def test_a_line_that_is_being_written_is_not_read_yet(path: Path) -> None:
    path.write_text(entry(1, "one") + entry(2, "two")[:-1])

    assert await texts(path) == [b"one\n"]


async def test_one_stream_can_be_asked_for(path: Path) -> None:
    path.write_text(entry(1, "one") + entry(2, "two", "stderr") + entry(3, "three"))

    assert await texts(path, streams=frozenset({"stderr"})) == [b"two\n"]


async def test_since_and_until_are_inclusive(path: Path) -> None:
    path.write_text("".join(entry(second, str(second)) for second in range(5)))
    first, last = ((START + second) * SECOND + 1 for second in (1, 3))

    assert await texts(path, since_ns=first, until_ns=last) == [b"1\n", b"2\n", b"3\n"]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7])
async def test_tail_gives_the_last_lines(path: Path, count: int) -> None:
    path.write_text("".join(entry(second, str(second)) for second in range(5)))

    expected = [b"%d\n" % second for second in range(5)]
    assert await texts(path, tail=count) == (expected[-count:] if count else [])


async def test_tail_counts_joined_lines_and_gives_them_whole(path: Path) -> None:
    path.write_text(
        entry(1, "old") + entry(2, "a", tag="P") + entry(3, "err", "stderr")
        + entry(4, "b", tag="P") + entry(5, "c") + entry(6, "> ", tag="P")
    )  # fmt: skip

    assert await texts(path, tail=1) == [b"> "]
    assert await texts(path, tail=2) == [b"abc\n", b"> "]
    assert await texts(path, tail=3) == [b"err\n", b"abc\n", b"> "]


async def test_tail_of_a_large_log_reads_only_its_end(path: Path) -> None:
    with path.open("w") as file:
        for _ in range(1000):
            file.write(entry(1, "x" * 1000) * 50)
        file.write(entry(2, "last but one") + entry(3, "last"))
    before = octets_read()

    lines = await texts(path, tail=2)

    assert lines == [b"last but one\n", b"last\n"]
    assert octets_read() - before < 1 << 20


@pytest.mark.parametrize("tail", [1, 3, 200, 5000])
async def test_tail_across_blocks_is_exact(path: Path, tail: int) -> None:
    all_lines = [f"{number} " + "y" * (number % 700) for number in range(2000)]
    path.write_text("".join(entry(1, line, "stderr" if len(line) % 7 == 0 else "stdout")
                            for line in all_lines))  # fmt: skip

    assert await texts(path, tail=tail) == [f"{line}\n".encode() for line in all_lines[-tail:]]


async def test_a_line_without_end_comes_in_pieces(path: Path) -> None:
    part = "z" * 8192
    path.write_text(entry(1, part, tag="P") * 200 + entry(2, "end"))

    lines = await texts(path)

    assert b"".join(lines) == part.encode() * 200 + b"end\n"
    assert max(map(len, lines)) < 2 << 20


async def test_following_tells_what_comes_and_ends_with_the_container(path: Path) -> None:
    path.write_text(entry(1, "one"))
    ended, got = asyncio.Event(), asyncio.Queue[bytes]()

    async def follow() -> None:
        async for line in read_log(path, ended=ended):
            got.put_nowait(line.text)

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(follow())
        assert await got.get() == b"one\n"
        append(path, entry(2, "two"))
        assert await got.get() == b"two\n"
        append(path, entry(3, "three") + entry(4, "$ ", tag="P"))
        ended.set()

    assert [got.get_nowait() for _ in range(got.qsize())] == [b"three\n", b"$ "]


async def test_following_begins_before_the_log_is_there(path: Path) -> None:
    ended = asyncio.Event()

    async with asyncio.timeout(10), aclosing(read_log(path, ended=ended)) as lines:
        first = asyncio.ensure_future(anext(lines))
        await asyncio.sleep(0)
        append(path, entry(1, "one"))
        assert (await first).text == b"one\n"


async def test_following_with_tail_goes_on_after_the_last_lines(path: Path) -> None:
    path.write_text(entry(1, "one") + entry(2, "two"))
    ended = asyncio.Event()

    async with asyncio.timeout(10), aclosing(read_log(path, tail=1, ended=ended)) as lines:
        assert (await anext(lines)).text == b"two\n"
        append(path, entry(3, "three"))
        assert (await anext(lines)).text == b"three\n"


async def test_following_ends_when_its_time_is_over(path: Path) -> None:
    path.write_text("")
    soon = time.time_ns() + SECOND // 10

    async with asyncio.timeout(10):
        assert await texts(path, until_ns=soon, ended=asyncio.Event()) == []


async def test_following_leaves_no_descriptor_behind(path: Path) -> None:
    path.write_text(entry(1, "one"))
    before = len(list(Path("/proc/self/fd").iterdir()))

    for _ in range(20):
        async with aclosing(read_log(path, ended=asyncio.Event())) as lines:
            await anext(lines)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def octets_read() -> int:
    lines = Path("/proc/self/io").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("rchar")).split()[1])
