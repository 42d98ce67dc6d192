"""The process's descriptors: a bounded stock, of which a share stays free for what comes later.

Held ports leave some to relayed connections, and those leave some to the daemon's connection. The
kernel gives the lowest number that is free, so a new descriptor's number says how many are left.
"""

import resource
import socket
import sys
from errno import EMFILE

FOR_CONTROL = 16
FOR_RELAYS = 256


def raise_limit() -> None:
    """Let this process have as many descriptors as it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def limit() -> int:
    """Return how many descriptors this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft == resource.RLIM_INFINITY else soft


def new_socket(family: int, kind: int, protocol: int, spare: int) -> socket.socket:
    """Open a socket that does not block; EMFILE if fewer than `spare` descriptors are left then."""
    try:
        opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    except OSError as error:
        if error.errno == EMFILE:
            raise exhausted() from error
        raise
    if is_scarce(opened, spare):
        opened.close()
        raise exhausted()
    return opened


def is_scarce(opened: socket.socket, spare: int) -> bool:
    """Return whether fewer than `spare` descriptors are left beside this new one."""
    most = limit()
    return opened.fileno() >= most - min(spare, most // 4)


def exhausted() -> OSError:
    """Return the error that says what the limit is."""
    return OSError(
        EMFILE, f"the port holder may have no more than {limit()} open files (ulimit -n)"
    )
