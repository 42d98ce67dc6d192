"""Names and ids: what a container may be called, and what it is called when nobody said."""

import re
import secrets

from netd.errors import InvalidError

ADJECTIVES = (
    "agile", "amber", "bold", "brave", "bright", "calm", "clever", "crisp", "eager", "early",
    "fair", "fleet", "fond", "frank", "gentle", "glad", "grand", "happy", "honest", "jolly",
    "keen", "kind", "lively", "loyal", "lucid", "merry", "mild", "modest", "noble", "patient",
    "plain", "proud", "quick", "quiet", "rapid", "ready", "serene", "sharp", "silent", "simple",
    "steady", "subtle", "sunny", "swift", "tidy", "true", "vivid", "warm", "wise", "witty",
)  # fmt: skip
SURNAMES = (
    "baran", "bartik", "berners", "boggs", "borg", "cerf", "clark", "crocker", "davies", "deering",
    "diffie", "engelbart", "estrin", "feinler", "floyd", "hamming", "heart", "hopper", "jacobson",
    "kahn", "karels", "kleinrock", "lamarr", "licklider", "lovelace", "lynch", "mccarthy",
    "metcalfe", "mockapetris", "moy", "nagle", "partridge", "paxson", "perlman", "postel",
    "pouzin", "rekhter", "roberts", "shannon", "stevens", "sunshine", "taylor", "tomlinson",
    "turing", "vixie", "zimmermann",
)  # fmt: skip


def new_id() -> str:
    """Return 64 random hex digits; the short form is never all decimal, so it is no number."""
    while True:
        id_ = secrets.token_hex(32)
        if not id_[:12].isdecimal():
            return id_


def made_up_name() -> str:
    """Return an adjective and the surname of somebody who made the network."""
    return f"{secrets.choice(ADJECTIVES)}_{secrets.choice(SURNAMES)}"


def checked_name(name: str) -> str:
    """Return a container's name without Docker's leading slash, or raise InvalidError."""
    bare = name.removeprefix("/")
    if not re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", bare):
        raise InvalidError(
            f"Invalid container name ({bare}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        )
    return bare
