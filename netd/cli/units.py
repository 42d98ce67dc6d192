"""Sizes, durations and times: read from flags, and said as Docker says them."""

import time
from datetime import UTC, datetime

from netd.cli.errors import CliError

_BINARY = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40, "p": 1 << 50}
_DECIMAL = ("B", "kB", "MB", "GB", "TB", "PB", "EB")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600}
_SHORT = {0: "Less than a second", 1: "1 second"}
_DAY = 24  # hours
_LONG = (  # hours below which a unit is used, hours of the unit, its name
    (14 * _DAY, _DAY, "days"),
    (60 * _DAY, 7 * _DAY, "weeks"),
    (2 * 365 * _DAY, 30 * _DAY, "months"),
    (float("inf"), 365 * _DAY, "years"),
)
_TIME_FORMATS = (
    "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%dT%H:%M:%S%z", "%Y-%m-%dT%H:%M%z",
    "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d",
)  # fmt: skip


def octets(text: str, flag: str) -> int:
    """Read a size such as `64m`, `1.5GiB` or `-1`: binary multiples, as Docker's."""
    number = text.strip().lower().removesuffix("ib").removesuffix("b")
    unit = number[-1:] if number[-1:].isalpha() else ""
    try:
        value = float(number.removesuffix(unit))
        factor = _BINARY[unit]
    except (ValueError, KeyError) as error:
        raise CliError(
            f"{flag}: {text!r} is no size", "write it as a number and b, k, m or g: 64m"
        ) from error
    return int(value * factor)


def human_size(size: float) -> str:
    """Say a size in decimal multiples, three digits: `1.99MB`."""
    step = 0
    while size >= 1000 and step < len(_DECIMAL) - 1:
        size /= 1000
        step += 1
    return f"{size:.3g}{_DECIMAL[step]}" if size < 999.5 else f"{size:.0f}{_DECIMAL[step]}"


def binary_size(size: float) -> str:
    """Say a size in binary multiples: `23.54GiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.4g}{unit}"
        size /= 1024
    return f"{size:.4g}TiB"


def human_duration(seconds: float) -> str:
    """Say a length of time in one unit: `About a minute`, `3 weeks`."""
    whole = int(seconds)
    minutes, hours = whole // 60, (whole + 1800) // 3600
    if whole < 60:
        return _SHORT.get(whole, f"{whole} seconds")
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    divisor, unit = next((divisor, unit) for below, divisor, unit in _LONG if hours < below)
    return f"{hours // divisor} {unit}"


def ago(moment: float) -> str:
    """Say how long a moment (seconds since 1970) is past."""
    return f"{human_duration(time.time() - moment)} ago" if moment else "N/A"


def created_at(moment: float) -> str:
    """Say a moment (seconds since 1970) in the local zone, as lists show it."""
    local = datetime.fromtimestamp(moment, UTC).astimezone()
    return local.strftime("%Y-%m-%d %H:%M:%S %z %Z")


def rfc3339(moment: float) -> str:
    """Say a moment (seconds since 1970) in UTC: `2026-11-23T18:54:28Z`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def go_time(text: str) -> str:
    """Say a time of the API, in UTC with up to nine digits, as Go prints one."""
    return f"{text.removesuffix('Z').replace('T', ' ')} +0000 UTC" if text else ""


def timestamp(text: str, flag: str) -> str:
    """Read a time of a flag as the API takes it: seconds since 1970, `.` nanoseconds.

    Takes such seconds, RFC 3339 times (local where they name no zone), dates, and durations
    before now such as `10m` or `1h30m`.
    """
    try:
        if float(text) >= 0:
            return text
    except ValueError:
        pass
    if (seconds := duration(text)) is not None:
        return f"{time.time() - seconds:.9f}"
    for pattern in _TIME_FORMATS:
        try:
            moment = datetime.strptime(_microseconds(text), pattern)
        except ValueError:
            continue
        return f"{moment.timestamp():.9f}"  # one without a zone is local
    raise CliError(
        f"{flag}: {text!r} is no time", "write it as 10m, 1h30m, 2026-01-31T12:00:00 or seconds"
    )


def duration(text: str) -> float | None:
    """Read a duration such as `1h30m` or `500ms`, in seconds; None if it is none."""
    import re

    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def _microseconds(text: str) -> str:
    """Cut a fraction to the six digits that strptime reads."""
    import re

    return re.sub(r"(\.\d{6})\d+", r"\1", text)
