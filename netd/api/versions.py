"""The API's versions: which are spoken, and which one a request speaks."""

from aiohttp import web

from netd.errors import InvalidError

Version = tuple[int, int]

# 1.48 is the first in which the docker client lets a network go without IPv4 and orders gateways.
NEWEST: Version = (1, 48)
OLDEST: Version = (1, 24)
PREFIX = r"/v{version:[0-9]+(\.[0-9]+)*}"


def text(version: Version) -> str:
    """Return a version as Docker writes it."""
    return ".".join(map(str, version))


def version_of(request: web.Request) -> Version:
    """Return the version in the request's path, the newest without one; InvalidError if unknown."""
    given = request.match_info.get("version")
    if given is None:
        return NEWEST
    numbers = tuple(int(part[:9]) for part in given.split("."))
    major, minor = numbers if len(numbers) == 2 else (*numbers, 0)[:2]
    if (major, minor) > NEWEST or len(numbers) > 2:
        raise InvalidError(
            f"client version {given} is too new. Maximum supported API version is {text(NEWEST)}"
        )
    if (major, minor) < OLDEST:
        raise InvalidError(
            f"client version {given} is too old. Minimum supported API version is {text(OLDEST)}, "
            "please upgrade your client to a newer version"
        )
    return major, minor
