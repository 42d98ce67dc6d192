"""What OCI runtimes say, and how users name signals."""

import json
import signal

import pytest

from runtime.errors import OciError
from runtime.oci import oci_error
from runtime.signals import signal_number


def logged(level: str, message: str) -> str:
    return json.dumps({"level": level, "msg": message, "time": "2026-11-23T16:40:00Z"}) + "\n"


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ('exec: "/x": stat /x: no such file or directory', 127),
        ("executable file `x` not found: No such file or directory", 127),
        ('exec: "/etc": permission denied', 126),
        ("open `/etc`: Is a directory", 126),
        ("something else", 128),
    ],
)
def test_messages_have_dockers_exit_codes(message: str, code: int) -> None:
    assert oci_error("x", message).exit_code == code


def test_strerrors_words_become_those_that_clients_look_for() -> None:
    assert str(oci_error("x", "execve: Permission denied")) == "execve: permission denied"


def test_the_last_error_of_a_log_counts() -> None:
    log = logged("warning", "careful") + logged("error", "first") + logged("error", "second")

    assert str(oci_error("x", log)) == "second"


def test_a_log_without_errors_gives_way_to_what_was_said() -> None:
    assert str(oci_error("x", logged("warning", "careful"), "", "plain\nwords\n")) == "plain; words"


def test_silence_is_told_too() -> None:
    assert str(oci_error("runc start", "", "")) == "runc start failed without a word"


@pytest.mark.parametrize(
    ("text", "number"),
    [("KILL", 9), ("SIGKILL", 9), ("sigterm", 15), ("9", 9), (15, 15), ("RTMIN", signal.SIGRTMIN),
     ("SIGRTMIN+3", signal.SIGRTMIN + 3), ("RTMAX-2", signal.SIGRTMAX - 2)],
)  # fmt: skip
def test_signals_have_names_and_numbers(text: str | int, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize(
    "text", ["", "NOSUCH", "0", "65", "-9", "TERM+1", "RTMIN+99", "RTMIN-1", "SIG_DFL", "RTMIN+"]
)
def test_what_is_no_signal_is_refused(text: str) -> None:
    with pytest.raises(OciError, match="invalid signal"):
        signal_number(text)
