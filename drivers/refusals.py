"""What the kernel refuses, said with the name of the thing."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from errno import ENODEV, ENXIO, ESRCH

from drivers.contract import DriverError


@contextmanager
def named(what: str) -> Iterator[None]:
    """Raise DriverError for an OSError, and say what it is about."""
    try:
        yield
    except OSError as error:
        raise DriverError(f"{what}: {error.strerror or error}") from error


@contextmanager
def missing_is_fine() -> Iterator[None]:
    """Go on where an interface or a route is not there (any more)."""
    try:
        yield
    except OSError as error:
        if error.errno not in {ENODEV, ENXIO, ESRCH}:
            raise


def index_of(name: str) -> int:
    """Return the number of an interface in this thread's network namespace, or DriverError."""
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise DriverError(f"there is no interface {name}") from error
