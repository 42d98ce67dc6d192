"""Names and hardware addresses of interfaces."""

import hashlib
import secrets
from collections.abc import Collection

from drivers.contract import Address

# The two octets Docker uses: locally administered, unicast.
OUI = bytes((0x02, 0x42))


def mac_of(of: Address | str) -> str:
    """Return the hardware address that belongs to an address, or to an id of hexadecimal digits.

    An IPv4 address always gives the same one, so neighbours' ARP entries stay true when a
    container comes back with its address.
    """
    if isinstance(of, str):
        tail = bytes.fromhex(of[:8])
    elif of.version == 4:
        tail = of.packed
    else:
        tail = hashlib.sha256(of.packed).digest()[:4]
    return (OUI + tail).hex(":")


def interface_name(prefix: str, taken: Collection[str]) -> str:
    """Return the lowest free name for an interface inside a sandbox: eth0, eth1, ..."""
    return next(name for n in range(len(taken) + 1) if (name := f"{prefix}{n}") not in taken)


def host_interface_name(endpoint_id: str) -> str:
    """Return a new name for the host's end of an endpoint: nd, 6 digits of the id, 6 random ones.

    It differs each time, because the end of a sandbox that was just removed may linger for a while.
    """
    return f"nd{endpoint_id[:6]}{secrets.token_hex(3)}"


def interface_name_problem(name: str) -> str | None:
    """Return why the kernel would refuse the name of an interface, or None.

    ip-link(8) and dev_valid_name() in net/core/dev.c; `%` makes the kernel number the interface.
    """
    if not 1 <= len(name.encode()) <= 15:
        return "must have 1 to 15 octets"
    if name in {".", ".."} or any(c in "/:%" or c.isspace() or not c.isprintable() for c in name):
        return "must not contain '/', ':', '%', spaces or control characters"
    return None
