"""Which addresses of one family are in use, by whom, and where a free subnet lies."""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Network

from ipam.pools import Pool
from ipam.prefixes import Prefix, bits, prefix_at, span

# All of global unicast: how some VPNs write a default route that wins over ::/0.
_GLOBAL_UNICAST = IPv6Network("2000::/3")


class Occupancy:
    """The prefixes of one family that are in use.

    Default routes are left out: they cover everything and hold nothing. So are their halves
    (0.0.0.0/1 and 128.0.0.0/1), which VPNs set to win over the default route they found.
    """

    def __init__(self, version: int, taken: Mapping[Prefix, str]) -> None:
        self._version = version
        self._used = [
            (*span(prefix), prefix, owner)
            for prefix, owner in taken.items()
            if prefix.version == version and not _is_default_route(prefix)
        ]
        self._merge()

    def add(self, prefix: Prefix, owner: str) -> None:
        """Count a further prefix as used."""
        self._used.append((*span(prefix), prefix, owner))
        self._merge()

    def overlapping(self, prefixes: Sequence[Prefix]) -> list[tuple[Prefix, str]]:
        """Return what is used of any of the prefixes, lowest address first."""
        asked = [span(prefix) for prefix in prefixes if prefix.version == self._version]
        if all(self._block_in(first, last) is None for first, last in asked):
            return []
        return [
            (prefix, owner)
            for first, last, prefix, owner in self._used
            if any(first <= asked_last and asked_first <= last for asked_first, asked_last in asked)
        ]

    def free_subnet(self, pools: Sequence[Pool], length: int | None = None) -> Prefix | None:
        """Return the first free subnet, of the pools' own size or of a given prefix length.

        None if all are used.
        """
        for pool in pools:
            if pool.base.version == self._version:
                size = pool.size if length is None else length
                first = self._free_in(pool.base, 1 << (bits(self._version) - size))
                if first is not None:
                    return prefix_at(self._version, first, size)
        return None

    def _free_in(self, base: Prefix, width: int) -> int | None:
        first, last = span(base)
        while first + width - 1 <= last:
            block_last = self._block_in(first, first + width - 1)
            if block_last is None:
                return first
            first = (block_last // width + 1) * width
        return None

    def _block_in(self, first: int, last: int) -> int | None:
        """Return the end of the highest block that shares an address with the span."""
        # Blocks are apart from each other, so the last one to begin in time reaches farthest.
        block = bisect_right(self._firsts, last) - 1
        return self._lasts[block] if block >= 0 and self._lasts[block] >= first else None

    def _merge(self) -> None:
        """Join what touches into blocks, so that a search leaps a full range in one step."""
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        self._used.sort(key=lambda used: used[:2])
        for first, last, _, _ in self._used:
            if self._lasts and first <= self._lasts[-1] + 1:
                self._lasts[-1] = max(self._lasts[-1], last)
            else:
                self._firsts.append(first)
                self._lasts.append(last)


def _is_default_route(prefix: Prefix) -> bool:
    return prefix.prefixlen <= 1 or prefix == _GLOBAL_UNICAST
