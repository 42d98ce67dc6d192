"""What should be: every network, container and image, in SQLite and in memory.

A `Table` is a map of immutable values by id that is also on disk: `put` has committed when it
returns (WAL, synchronous=FULL: a power cut loses nothing that was acknowledged). Rows are JSON of
the model's values. All use is from the event loop; a commit takes 0.2 ms.

Room for what is to come is taken beforehand: containers write to the same disk, and when one has
filled it, its end must still be stored, and its removal.
"""

import logging
import os
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from netd.errors import ConflictError, InternalError, InvalidError, NotFoundError
from netd.model import Address, Container, Image, Interface, Network, Prefix

log = logging.getLogger(__name__)

SCHEMA_VERSION = 1
KEPT_RELEASES = 1 << 16
ROOM = 1 << 20  # octets, in the file and in its write-ahead log
CHECKPOINT_PAGES = 200  # of 4 KiB: the log is emptied before it outgrows the room


class _Row(Protocol):
    @property
    def id(self) -> str: ...


Row = TypeVar("Row", bound=_Row)
_Name = Callable[[Any], tuple[str, ...]]


class Table(Generic[Row]):
    """The values of one kind, found by id, name or a unique prefix of the id."""

    def __init__(
        self, connection: sqlite3.Connection, table: str, row: type[Row], names: _Name, missing: str
    ) -> None:
        """Load all rows; `missing` is the sentence for an unknown reference, with {}."""
        self._connection, self._table, self._missing = connection, table, missing
        self._names_of = names
        self._rows: dict[str, Row] = {}
        self._by_name: dict[str, str] = {}
        connection.execute(f"CREATE TABLE IF NOT EXISTS {table} (id TEXT PRIMARY KEY, row BLOB)")
        decoder = msgspec.json.Decoder(row, dec_hook=_from_text)
        for id_, data in connection.execute(f"SELECT id, row FROM {table} ORDER BY rowid"):  # noqa: S608
            self._rows[id_] = decoder.decode(data)
            self._by_name.update(dict.fromkeys(names(self._rows[id_]), id_))

    def __iter__(self) -> Iterator[Row]:
        """Iterate over all, oldest first; the table may be changed meanwhile."""
        return iter(tuple(self._rows.values()))

    def __contains__(self, id_: str) -> bool:
        """Whether there is one with this whole id."""
        return id_ in self._rows

    def get(self, id_: str) -> Row | None:
        """Return the one with this whole id; absent: there is none."""
        return self._rows.get(id_)

    def named(self, name: str) -> Row | None:
        """Return the one with this name; absent: there is none."""
        return self._rows.get(self._by_name.get(name, ""))

    def find(self, reference: str) -> Row:
        """Return the one meant by a whole id, a name, or a unique prefix of an id."""
        found = self._rows.get(reference) or self.named(reference)
        if found:
            return found
        matches = [id_ for id_ in self._rows if _hexadecimal(id_).startswith(reference)]
        if len(matches) > 1 and reference:
            raise InvalidError(f"multiple IDs found with provided prefix: {reference}")
        if not matches or not re.fullmatch("[0-9a-f]+", reference):
            raise NotFoundError(self._missing.format(reference))
        return self._rows[matches[0]]

    def put(self, row: Row) -> None:
        """Store a value in the place of the one with its id; committed on return."""
        taken = [name for name in self._names_of(row) if self._by_name.get(name, row.id) != row.id]
        if taken:
            raise ConflictError(f"name {taken[0]!r} is in use by {self._by_name[taken[0]]}")
        data = msgspec.json.encode(row, enc_hook=str)
        _write(
            self._connection,
            f"INSERT INTO {self._table} VALUES (?, ?) "  # noqa: S608
            "ON CONFLICT (id) DO UPDATE SET row = excluded.row",
            (row.id, data),
        )
        self._hold(row)

    def note(self, row: Row) -> None:
        """Store what is so already; where the disk refuses it, it is known in memory alone.

        For ends and removals: refusing them would change nothing, and the next daemon finds out
        again.
        """
        try:
            self.put(row)
        except InternalError as error:
            log.error("%s %s: %s", self._table, row.id, error)  # noqa: TRY400
            self._hold(row)

    def _hold(self, row: Row) -> None:
        old = self._rows.get(row.id)
        for name in self._names_of(old) if old else ():
            del self._by_name[name]
        self._rows[row.id] = row
        self._by_name.update(dict.fromkeys(self._names_of(row), row.id))

    def remove(self, id_: str) -> None:
        """Forget a value; may be repeated."""
        row = self._rows.get(id_)
        if row is None:
            return
        _write(self._connection, f"DELETE FROM {self._table} WHERE id = ?", (id_,))  # noqa: S608
        del self._rows[id_]
        for name in self._names_of(row):
            del self._by_name[name]


class Released:
    """Who had which address last: what makes addresses sticky by name.

    Only the last `kept` releases are known: IPv6 addresses are not used twice, so that the table
    would grow with each container.
    """

    def __init__(self, connection: sqlite3.Connection, kept: int = KEPT_RELEASES) -> None:
        self._connection, self._kept = connection, kept
        connection.execute(
            "CREATE TABLE IF NOT EXISTS released (at INTEGER PRIMARY KEY AUTOINCREMENT, "
            "network TEXT, address TEXT, owner TEXT, UNIQUE (network, address))"
        )

    def of(self, network_id: str) -> list[tuple[Address, str]]:
        """Return (address, owner) of a network, the one released longest ago first."""
        rows = self._connection.execute(
            "SELECT address, owner FROM released WHERE network = ? ORDER BY at", (network_id,)
        )
        return [(ip_address(address), owner) for address, owner in rows]

    def add(self, network_id: str, address: Address, owner: str) -> None:
        """Remember that the owner had the address until now, if the disk lets us."""
        try:
            _write(
                self._connection,
                "INSERT OR REPLACE INTO released (network, address, owner) VALUES (?, ?, ?)",
                (network_id, str(address), owner),
            )
            # `at` counts on, so this finds its rows, mostly none, without looking at the others.
            _write(
                self._connection,
                "DELETE FROM released WHERE at <= (SELECT MAX(at) FROM released) - ?",
                (self._kept,),
            )
        except InternalError as error:
            log.warning("%s will not get %s again: %s", owner, address, error)

    def forget(self, network_id: str) -> None:
        """Drop what is known of a network; may be repeated."""
        _write(self._connection, "DELETE FROM released WHERE network = ?", (network_id,))


class Store:
    """The daemon's whole state, on disk in one file."""

    def __init__(self, path: Path) -> None:
        """Open the file, made when missing; one of a newer netd is refused."""
        with ExitStack() as undo:
            try:
                # isolation_level=None: every statement is its own transaction.
                self._connection = sqlite3.connect(path, isolation_level=None)
                undo.callback(self._connection.close)
                self._prepare(path)
                self._load()
                _take_room(self._connection, path)
            except (sqlite3.Error, msgspec.DecodeError) as error:
                raise InternalError(f"cannot open the state {path}: {error}") from error
            undo.pop_all()

    def close(self) -> None:
        """Close the file; may be repeated."""
        self._connection.close()

    def _prepare(self, path: Path) -> None:
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > SCHEMA_VERSION:
            self._connection.close()
            raise InternalError(f"the state {path} was written by a newer netd (schema {version})")
        if version < SCHEMA_VERSION:
            self._connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def _load(self) -> None:
        connection = self._connection
        self.networks: Table[Network] = Table(
            connection, "networks", Network, lambda row: (row.name,), "network {} not found"
        )
        self.containers: Table[Container] = Table(
            connection, "containers", Container, lambda row: (row.name,), "No such container: {}"
        )
        self.images: Table[Image] = Table(
            connection, "images", Image, lambda row: row.names, "No such image: {}"
        )
        self.released = Released(connection)


def now() -> datetime:
    """Return the time, in UTC, as rows hold it."""
    return datetime.now(UTC)


def _write(connection: sqlite3.Connection, statement: str, values: tuple[object, ...] = ()) -> None:
    try:
        connection.execute(statement, values)
    except sqlite3.Error as error:
        raise InternalError(f"cannot store the state: {error}") from error


def _take_room(connection: sqlite3.Connection, path: Path) -> None:
    """Let the file have free pages, and the log its length: both are used before the disk is.

    At each start, because SQLite deletes the log at the end. Pages that are freed in the
    transaction that wrote them would never reach the disk, so these are two.
    """
    disk = os.statvfs(path)
    if disk.f_bavail * disk.f_frsize < 4 * ROOM:
        log.warning("the disk of %s is nearly full: changes of the state may fail", path)
        return
    connection.execute("CREATE TABLE IF NOT EXISTS room (filler BLOB)")
    connection.execute("INSERT INTO room VALUES (zeroblob(?))", (ROOM,))
    connection.execute("DROP TABLE room")


def _hexadecimal(id_: str) -> str:
    return id_.removeprefix("sha256:")


def _from_text(kind: type, value: object) -> object:
    return _PARSERS[kind](str(value))


_PARSERS: dict[object, Callable[[str], object]] = {
    Address: ip_address,
    Prefix: ip_network,
    Interface: ip_interface,
    IPv4Address: IPv4Address,
    IPv6Address: IPv6Address,
}
