"""Signals by name or number, as users write them."""

import re
import signal

from runtime.errors import OciError

_REAL_TIME = re.compile(r"(RTMIN|RTMAX)([+-]\d{1,2})")


def signal_number(text: str | int) -> int:
    """Return the number of "TERM", "SIGTERM", "15" or "RTMIN+3"; OciError if there is none."""
    word = str(text).strip().upper().removeprefix("SIG")
    number = int(word) if word.isdecimal() else _named(word)
    if not 0 < number <= signal.SIGRTMAX:
        raise OciError(f"invalid signal: {text}")
    return number


def _named(word: str) -> int:
    """Return the number, or 0."""
    if match := _REAL_TIME.fullmatch(word):
        number = signal.Signals[f"SIG{match[1]}"] + int(match[2])
        return number if number >= signal.SIGRTMIN else 0
    return signal.Signals.__members__.get(f"SIG{word}", 0)
