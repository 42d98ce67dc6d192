"""Interfaces, addresses and routes of the host: the only module that imports pyroute2.

A `Links` is opened once, in the one thread that uses it, and keeps the network namespace of that
moment. Every verb may be repeated. What netd made is known by its alias, `netd <network>`, which
`ip link` shows; interfaces that do not carry it are never removed.
"""

import fcntl
import logging
import os
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from errno import ENODEV
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, Literal

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from drivers import rtnetlink, sysctl
from drivers.contract import DriverError, Interface
from drivers.inside import Inside
from drivers.options import BRIDGES
from drivers.refusals import index_of, missing_is_fine, named
from drivers.routes import Route, routes, uplinks

log = logging.getLogger(__name__)

UP = 1  # IFF_UP
NO_DAD = 0x02  # IFA_F_NODAD, linux/if_addr.h
OURS = 0x6E  # IFA_PROTO, "who added this address"; "n", none of the kernel's
DEFAULT_MTU = 1500
SIOCGIFMTU = 0x8921  # netdevice(7)


@dataclass(frozen=True, slots=True)
class Port:
    """A pair of interfaces: one end on a bridge of the host, the other inside a sandbox."""

    host_interface: str
    bridge: str
    interface: str
    mac: str
    mtu_bytes: int
    owner: str  # the network's name
    isolated: bool  # from the bridge's other isolated ports
    hairpin: bool  # frames may go back where they came from


class Rtnl:
    """pyroute2's verbs, each of which returns a list or raises OSError with the kernel's words.

    It opens its socket in the network namespace the thread is in, and keeps it.
    """

    def __init__(self) -> None:
        self._socket = IPRoute(ext_ack=True, groups=0)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def __getattr__(self, verb: str) -> Callable[..., list[Any]]:
        """Return a verb of pyroute2."""

        def act(*arguments: Any, **named: Any) -> list[Any]:
            try:
                return list(getattr(self._socket, verb)(*arguments, **named))
            except NetlinkError as error:
                raise OSError(error.code, error.args[1]) from error

        return act


class Links:
    """The interfaces of the host."""

    def __init__(self) -> None:
        self._rtnl = Rtnl()

    def close(self) -> None:
        """Give the socket back."""
        self._rtnl.close()

    def put_bridge(
        self, name: str, mac: str, mtu_bytes: int, owner: str
    ) -> Literal["new", "ours", "foreign"]:
        """Make sure that the bridge is there; return whether it was, and whether netd made it.

        One that somebody else made is left as it is. The hardware address is fixed, because a
        bridge takes the lowest of its ports' otherwise, and changes it when a container leaves.
        """
        with named(f"bridge {name}"), ExitStack() as undo:
            link = self._link(name)
            if link is None:
                options = {"br_stp_state": 0, "br_forward_delay": 0}
                self._rtnl.link("add", ifname=name, kind="bridge", address=mac, **options)
                undo.callback(self.remove, name)
            elif problem := _bridge_problem(link, name, owner):
                raise DriverError(problem)
            elif not _is_ours(link, name, owner):
                return "foreign"
            # The MTU once it exists: only then does the kernel not let it follow the ports'.
            index = index_of(name)
            self._rtnl.link("set", index=index, address=mac, mtu=mtu_bytes, ifalias=_mark(owner))
            rtnetlink.send([rtnetlink.bridge(index)])
            undo.pop_all()
            return "ours" if link else "new"

    def remove_bridge(self, name: str, owner: str) -> None:
        """Remove the bridge, or from somebody else's bridge the addresses that netd gave it."""
        with named(f"bridge {name}"):
            link = self._link(name)
            if link is None or _bridge_problem(link, name, owner):
                return
            if _is_ours(link, name, owner):
                self.remove(name)
                return
            for address, proto in self._addresses(link["index"]).items():
                if proto == OURS:
                    self._delete_address(link["index"], address)

    def put_addresses(self, name: str, addresses: Sequence[Interface], *, only: bool) -> None:
        """Give an interface its addresses and set it up; `only`: take all others away."""
        with named(f"interface {name}"):
            index = index_of(name)
            present = self._addresses(index)
            for address in present:
                if only and address not in addresses and not address.is_link_local:
                    self._delete_address(index, address)
            for address in addresses:
                if address not in present:
                    self._add_address(index, address)
            self._rtnl.link("set", index=index, state="up")

    def create_port(self, port: Port, sandbox: Path) -> None:
        """Make a veth pair, one end up on the bridge, the other down inside the sandbox.

        The inner end is made in its place: moving it there takes the kernel 20 ms.
        """
        with named(f"interface {port.interface} in {sandbox}"), ExitStack() as undo:
            target = os.open(sandbox, os.O_RDONLY | os.O_CLOEXEC)
            undo.callback(os.close, target)
            inner = {"ifname": port.interface, "address": port.mac, "mtu": port.mtu_bytes}
            self._rtnl.link(
                "add",
                ifname=port.host_interface,
                kind="veth",
                master=index_of(port.bridge),
                mtu=port.mtu_bytes,
                flags=UP,
                change=UP,
                peer={**inner, "net_ns_fd": target},
            )
            with ExitStack() as failed:
                failed.callback(self.remove, port.host_interface)
                # A port of a bridge needs no address of its own, and its noise is seen by all.
                sysctl.put(f"ipv6/conf/{port.host_interface}/disable_ipv6", "1")
                # What comes to it past the bridge (frames for switches) does so from nowhere.
                sysctl.put(f"ipv4/conf/{port.host_interface}/rp_filter", "1")
                index = index_of(port.host_interface)
                rtnetlink.send([rtnetlink.alias(index, _mark(port.owner)), _settings(port, index)])
                failed.pop_all()

    def adopt_port(self, port: Port, index: int, inner_index: int) -> bool:
        """Put the host's end of an existing pair right; return False if it is not netd's."""
        with named(f"the other end of interface {port.interface}"), ExitStack() as gone:
            gone.enter_context(missing_is_fine())
            for link in self._rtnl.link("get", index=index):
                is_pair = (_kind(link), link.get("link")) == ("veth", inner_index)
                if not is_pair or link.get("ifalias") != _mark(port.owner):
                    return False
                bridge = index_of(port.bridge)
                self._rtnl.link("set", index=index, master=bridge, mtu=port.mtu_bytes, state="up")
                rtnetlink.send([_settings(port, index)])
                return True
        return False

    def remove(self, name: str) -> None:
        """Remove an interface, if it is there."""
        with named(f"interface {name}"), missing_is_fine():
            self._rtnl.link("del", ifname=name)

    def mtu(self, name: str) -> int:
        """Return the MTU of an interface."""
        # Not by rtnetlink: this is asked for with each join, and takes a hundredth of the time.
        with named(f"interface {name}"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_:
            request = struct.pack("16si20x", os.fsencode(name), 0)
            answer = fcntl.ioctl(any_, SIOCGIFMTU, request)
            return int(struct.unpack("16si20x", answer)[1])

    def mark(self, owner: str) -> str:
        """Return the alias of what netd made for a network."""
        return _mark(owner)

    def has_address(self, address: Interface) -> bool:
        """Return whether the host has an address; on which interface is not asked."""
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            try:
                asking.bind((str(address.ip), 0))
            except OSError:
                return False
        return True

    def routes(self) -> list[Route]:
        """Return what is routed by this host, in all tables of both families.

        Its own addresses are included, and so are the routes of bridges: other daemons have some.
        """
        with named("routes"):
            names = {link["index"]: link.get("ifname") for link in self._rtnl.get_links()}
            return list(routes(self._rtnl.get_routes(), names))

    def uplink_mtu(self) -> int:
        """Return the MTU of the way out: the least of the default routes' interfaces, or 1500."""
        with named("uplink"):
            ways_out = uplinks(self._rtnl.get_routes())
            mtus = [
                link.get("mtu")
                for link in (self._rtnl.get_links() if ways_out else ())
                if link["index"] in ways_out
            ]
            return min(mtus, default=DEFAULT_MTU)

    @contextmanager
    def inside(self, sandbox: Path) -> Iterator[Inside]:
        """Yield the interfaces of a sandbox; the calling thread stays where it is."""
        inside = Inside(sandbox, Rtnl)
        try:
            yield inside
        finally:
            inside.close()

    def _link(self, name: str) -> Any:
        try:
            return self._rtnl.link("get", ifname=name)[0]
        except OSError as error:
            if error.errno == ENODEV:
                return None
            raise

    def _addresses(self, index: int) -> dict[Interface, int | None]:
        """Return the addresses of an interface, and who added each."""
        return {
            ip_interface(f"{found.get('address')}/{found.get('prefixlen')}"): found.get("proto")
            for found in self._rtnl.get_addr(index=index)
        }

    def _add_address(self, index: int, address: Interface) -> None:
        # netd gives each address once, so there is nothing to detect, and nothing to wait for.
        flags = {"flags": NO_DAD} if address.version == 6 else {}
        where = {"index": index, "address": str(address.ip), "prefixlen": _length(address)}
        self._rtnl.addr("add", proto=OURS, **where, **flags)

    def _delete_address(self, index: int, address: Interface) -> None:
        where = {"index": index, "address": str(address.ip), "prefixlen": _length(address)}
        self._rtnl.addr("del", **where)


def _settings(port: Port, index: int) -> bytes:
    return rtnetlink.bridge_port(index, hairpin=port.hairpin, isolated=port.isolated)


def _bridge_problem(link: Any, name: str, owner: str) -> str | None:
    """Return why an interface cannot be this network's bridge, or None."""
    alias = link.get("ifalias") or ""
    if _kind(link) != "bridge":
        return f"interface {name} exists and is no bridge"
    if alias.startswith(_mark("")) and alias != _mark(owner):
        return f"bridge {name} belongs to network {alias.removeprefix(_mark(''))}"
    return None


def _is_ours(link: Any, name: str, owner: str) -> bool:
    alias = link.get("ifalias") or ""
    # A crash may have come between making it and marking it.
    return alias == _mark(owner) or (not alias and name.startswith(BRIDGES))


def _length(address: Interface) -> int:
    return address.network.prefixlen


def _kind(link: Any) -> str:
    return link.get(("linkinfo", "kind")) or ""


def _mark(owner: str) -> str:
    return f"netd {owner}".encode()[:255].decode(errors="ignore")  # as long as the kernel takes it
