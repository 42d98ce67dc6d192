"""Address pools: the large prefixes that automatic subnets are cut from."""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from ipam.errors import InvalidPoolError
from ipam.prefixes import Prefix, parsed_prefix


@dataclass(frozen=True, slots=True)
class Pool:
    """A prefix, and the prefix length of the subnets cut from it."""

    base: Prefix
    size: int


# Docker's ranges, which users expect and firewalls know, but cut in /24: 4096 networks, not 31.
DEFAULT_POOLS = (
    *(Pool(IPv4Network(f"172.{second}.0.0/16"), 24) for second in range(17, 32)),
    Pool(IPv4Network("192.168.0.0/16"), 24),
)


def pool(text: str) -> Pool:
    """Read a pool as dockerd's --default-address-pool writes it: "base=10.0.0.0/8,size=24".

    Raises InvalidPoolError.
    """
    words: dict[str, str] = {}
    problems: list[str] = []
    for word in text.split(","):
        key, equals, value = word.strip().partition("=")
        if not equals or key not in {"base", "size"}:
            problems.append(f"{word!r} is neither base=PREFIX nor size=LENGTH")
        elif key in words:
            problems.append(f"{key} is given twice")
        else:
            words[key] = value
    base = parsed_prefix(words.get("base", ""))
    problems += _base_problems(words.get("base"))
    problems += _size_problems(words.get("size"), base[0] if base else None)
    if problems or base is None:
        raise InvalidPoolError([f"address pool {text!r}: {problem}" for problem in problems])
    return Pool(base[0], int(words["size"]))


def unique_local_pool(seed: bytes) -> Pool:
    """Return the /48 of RFC 4193 that belongs to a host, cut in /64.

    The 40 bits are a hash of the seed (a machine id): the same on every start, and different
    between hosts, so that two can be joined later.
    """
    global_id = hashlib.sha256(seed).digest()[:5]
    prefix = int.from_bytes(b"\xfd" + global_id + bytes(10), "big")
    return Pool(IPv6Network((prefix, 48)), 64)


def _base_problems(text: str | None) -> list[str]:
    if text is None:
        return ["base is missing"]
    base = parsed_prefix(text)
    if base is None:
        return [f"base {text!r} is no prefix such as 10.0.0.0/8"]
    prefix, exact = base
    return [] if exact else [f"base {text} has host bits set: {prefix} was meant"]


def _size_problems(text: str | None, base: Prefix | None) -> list[str]:
    if text is None:
        return ["size is missing"]
    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        return [f"size {text!r} is no prefix length such as 24"]
    if base is not None and not base.prefixlen <= int(text) <= base.max_prefixlen:
        return [
            f"size {text} is not between /{base.prefixlen} of the base and /{base.max_prefixlen}"
        ]
    return []
