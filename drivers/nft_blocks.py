"""Parts of a ruleset of nf_tables that come and go together, as nft(8)'s commands."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Block:
    """Commands that make a part of a ruleset, and those that take it away."""

    make: tuple[str, ...]
    unmake: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a ruleset before it is put into words: equal if what it is made from is."""

    value: object
    made: Callable[[Any], Block] = field(compare=False)
    # Where a part of it may stay when it changes: from what it was, and what it is now.
    altered: Callable[[Any, Any], Block] | None = field(compare=False, default=None)

    def block(self) -> Block:
        """Return its commands."""
        return self.made(self.value)

    def change_from(self, before: "Piece") -> Block:
        """Return what takes away what is no more, and makes what is new."""
        if self.altered is not None:
            return self.altered(before.value, self.value)
        return Block(make=self.block().make, unmake=before.block().unmake)


def text(pieces: Mapping[str, Piece]) -> str:
    """Return all that makes them as nft(8) reads it, to be read and compared."""
    return "".join(
        "\n".join((f"# {name}", *piece.block().make, "")) for name, piece in pieces.items()
    )
