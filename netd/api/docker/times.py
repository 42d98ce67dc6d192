"""Moments and durations as Docker writes them."""

from datetime import UTC, datetime

NEVER = "0001-01-01T00:00:00Z"


def rfc3339(moment: datetime | None) -> str:
    """Return a moment in UTC with as many digits as it needs; absent: Docker's never."""
    if moment is None:
        return NEVER
    utc = moment.astimezone(UTC)
    fraction = f".{utc.microsecond:06d}".rstrip("0").rstrip(".")
    return f"{utc:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def rfc3339_ns(time_ns: int) -> str:
    """Return ns since 1970 as a moment in UTC with nine digits, as log lines carry it."""
    seconds, nanoseconds = divmod(time_ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}Z"


def unix(moment: datetime) -> int:
    """Return whole seconds since 1970."""
    return int(moment.timestamp())


def duration(seconds: float) -> str:
    """Return how long that is, in the words of `docker ps`."""
    whole = max(0, int(seconds))
    minutes, hours = whole // 60, int(whole / 3600 + 0.5)
    if whole < 60:
        return _plural(whole, "second") if whole else "Less than a second"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours == 1:
        return "About an hour"
    for limit, size, word in (
        (48, 1, "hours"), (24 * 14, 24, "days"), (24 * 60, 24 * 7, "weeks"),
        (24 * 730, 24 * 30, "months"),
    ):  # fmt: skip
        if hours < limit:
            return f"{hours // size} {word}"
    return f"{hours // (24 * 365)} years"


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
