"""Sizes, durations, times, tables, keys and frames."""

import re
import time

import pytest

from netd.cli.errors import CliError
from netd.cli.frames import Frames
from netd.cli.keys import DEFAULT_KEYS, Escape, key_sequence
from netd.cli.tables import Listing, aligned, shortened
from netd.cli.units import duration, go_time, human_duration, human_size, octets, timestamp


@pytest.mark.parametrize(
    ("text", "size"),
    [("64m", 64 << 20), ("1.5g", 3 << 29), ("10", 10), ("2KiB", 2048), ("-1", -1), ("7b", 7)],
)
def test_a_size_is_read_in_binary_multiples(text: str, size: int) -> None:
    assert octets(text, "--memory") == size


@pytest.mark.parametrize("text", ["", "m", "ten", "1x", "1 2"])
def test_what_is_no_size_is_refused_with_the_flag(text: str) -> None:
    with pytest.raises(CliError, match="--memory: "):
        octets(text, "--memory")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0B"), (999, "999B"), (1985817, "1.99MB"), (999_900, "1000kB"), (5e12, "5TB")],
)
def test_a_size_is_said_with_three_digits(size: float, text: str) -> None:
    assert human_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.4, "Less than a second"), (1, "1 second"), (59, "59 seconds"), (61, "About a minute"),
        (300, "5 minutes"), (3600, "About an hour"), (7300, "2 hours"), (86400 * 3, "3 days"),
        (86400 * 15, "2 weeks"), (86400 * 70, "2 months"), (86400 * 800, "2 years"),
    ],
)  # fmt: skip
def test_a_duration_is_said_in_dockers_words(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text


def test_durations_are_read_as_go_does() -> None:
    assert duration("1h30m") == 5400
    assert duration("500ms") == 0.5
    assert duration("soon") is None


def test_a_time_may_be_a_duration_before_now() -> None:
    assert abs(float(timestamp("10m", "--since")) - (time.time() - 600)) < 5


def test_a_time_may_be_rfc_3339_or_seconds() -> None:
    assert timestamp("1970-01-02T00:00:00.123456789Z", "--since") == "86400.123456000"
    assert timestamp("1970-01-01T01:00:00+01:00", "--since") == "0.000000000"
    assert timestamp("1700000000.5", "--since") == "1700000000.5"


def test_what_is_no_time_is_refused_with_the_flag() -> None:
    with pytest.raises(CliError, match="--since: 'noon'"):
        timestamp("noon", "--since")


def test_times_of_the_api_are_said_as_go_does() -> None:
    assert go_time("2026-11-23T18:54:28.476189899Z") == "2026-11-23 18:54:28.476189899 +0000 UTC"


def test_columns_are_as_wide_as_their_widest_cell_and_three() -> None:
    assert aligned(["A\tB", "a-long-cell\tb"]) == "A             B\na-long-cell   b\n"


def test_a_list_can_be_a_table_a_template_json_or_ids() -> None:
    listing = Listing({"ID": "NUMBER", "Name": "NAME"}, "table {{.ID}}\t{{.Name}}")
    rows = [{"ID": "1", "Name": "web"}]

    assert listing.text(rows) == "NUMBER    NAME\n1         web\n"
    assert listing.text(rows, "{{.Name}}") == "web\n"
    assert listing.text(rows, "json") == '{"ID":"1","Name":"web"}\n'
    assert listing.text(rows, quiet=True) == "1\n"
    assert listing.text(rows, "table {{.Name}}\\t{{.ID}}") == "NAME      NUMBER\nweb       1\n"


def test_what_is_cut_ends_in_an_ellipsis() -> None:
    assert shortened("abcdef", 4) == "abc…"
    assert shortened("abcd", 4) == "abcd"


def test_frames_are_found_however_the_stream_was_cut() -> None:
    stream = b"\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err"
    for cut in range(1, len(stream)):
        frames = Frames()

        parts = [*frames.feed(stream[:cut]), *frames.feed(stream[cut:])]

        assert b"".join(data for number, data in parts if number == 1) == b"out"
        assert b"".join(data for number, data in parts if number == 2) == b"err"


def test_keys_are_letters_and_control_letters() -> None:
    assert key_sequence("") == DEFAULT_KEYS
    assert key_sequence("ctrl-x,x,ctrl-@") == b"\x18x\0"


@pytest.mark.parametrize("text", ["ctrl-", "shift-a", "ab", "ctrl-p,,x"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(CliError, match=re.escape("--detach-keys")):
        key_sequence(text)


def test_the_keys_detach_also_when_typed_one_by_one() -> None:
    escape = Escape(DEFAULT_KEYS)

    assert escape.typed(b"ls\x10") == b"ls"
    assert escape.typed(b"\x11more") == b""
    assert escape.detached


def test_keys_that_were_not_finished_reach_the_container() -> None:
    escape = Escape(DEFAULT_KEYS)

    assert escape.typed(b"\x10") == b""
    assert escape.typed(b"x") == b"\x10x"
    assert escape.typed(b"\x10\x10\x10x") == b"\x10\x10\x10x"
    assert not escape.detached
