"""Signals by name or number, as users write them."""

import signal

from runtime.errors import OciError


def signal_number(text: str | int) -> int:
    """Return the number of "TERM", "SIGTERM", "15" or "RTMIN+3"; OciError if there is none."""
    word = str(text).strip().upper().removeprefix("SIG")
    if word.isdecimal() and 0 < int(word) <= signal.SIGRTMAX:
        return int(word)
    name, sign, figure = word.replace("-", "+-").partition("+")
    offset = int(figure) if sign and figure.lstrip("-").isdecimal() else 0
    if f"SIG{name}" not in signal.Signals.__members__ or (sign and not name.startswith("RTM")):
        raise OciError(f"invalid signal: {text}")
    number = signal.Signals[f"SIG{name}"] + offset
    if sign and not signal.SIGRTMIN <= number <= signal.SIGRTMAX:
        raise OciError(f"invalid signal: {text}")
    return number
