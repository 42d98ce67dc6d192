"""Interfaces, addresses and routes: the only module that speaks rtnetlink, through pyroute2.

A `Links` is opened once, in the one thread that uses it, and keeps the network namespace of that
moment. Every verb may be repeated. What netd made is known by its alias, `netd <network>`, which
`ip link` shows; interfaces that do not carry it are never removed.
"""

import fcntl
import logging
import os
import socket
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from errno import EEXIST, ENODEV, ESRCH
from ipaddress import ip_interface
from pathlib import Path
from typing import Any, Literal

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from drivers import sysctl
from drivers.contract import Address, DriverError, Interface
from drivers.options import BRIDGES
from drivers.routes import Route, routes, uplinks
from drivers.sandbox import entered

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


class Links:
    """The interfaces of the host."""

    def __init__(self) -> None:
        self._rtnl = IPRoute(ext_ack=True, groups=0)

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
        with _named(f"bridge {name}"), ExitStack() as undo:
            link = self._link(name)
            if link is None:
                options = {"br_stp_state": 0, "br_forward_delay": 0}
                self._rtnl.link("add", ifname=name, kind="bridge", address=mac, **options)
                undo.callback(self.remove, name)
            elif not _is_bridge_of(link, name, owner):
                return "foreign"
            # The MTU once it exists: only then does the kernel not let it follow the ports'.
            self._rtnl.link(
                "set", index=_index(name), address=mac, mtu=mtu_bytes, ifalias=_mark(owner)
            )
            undo.pop_all()
            return "ours" if link else "new"

    def remove_bridge(self, name: str, owner: str) -> None:
        """Remove the bridge, or from somebody else's bridge the addresses that netd gave it."""
        with _named(f"bridge {name}"):
            link = self._link(name)
            if link is None:
                return
            if _is_bridge_of(link, name, owner):
                self.remove(name)
                return
            for address, proto in self._addresses(link["index"]).items():
                if proto == OURS:
                    self._delete_address(link["index"], address)

    def put_addresses(self, name: str, addresses: Sequence[Interface], *, only: bool) -> None:
        """Give an interface its addresses and set it up; `only`: take all others away."""
        with _named(f"interface {name}"):
            index = _index(name)
            present = self._addresses(index)
            for address in present:
                if only and address not in addresses and not address.is_link_local:
                    self._delete_address(index, address)
            for address in addresses:
                if address not in present:
                    _add_address(self._rtnl, index, address)
            self._rtnl.link("set", index=index, state="up")

    def create_port(self, port: Port, sandbox: Path) -> None:
        """Make a veth pair, one end up on the bridge, the other down inside the sandbox.

        The inner end is made in its place: moving it there takes the kernel 20 ms.
        """
        with _named(f"interface {port.interface} in {sandbox}"), ExitStack() as undo:
            target = os.open(sandbox, os.O_RDONLY | os.O_CLOEXEC)
            undo.callback(os.close, target)
            inner = {"ifname": port.interface, "address": port.mac, "mtu": port.mtu_bytes}
            self._rtnl.link(
                "add",
                ifname=port.host_interface,
                kind="veth",
                master=_index(port.bridge),
                mtu=port.mtu_bytes,
                flags=UP,
                change=UP,
                peer={**inner, "net_ns_fd": target},
            )
            with ExitStack() as failed:
                failed.callback(self.remove, port.host_interface)
                # A port of a bridge needs no address of its own, and its noise is seen by all.
                sysctl.put(f"ipv6/conf/{port.host_interface}/disable_ipv6", "1")
                index = _index(port.host_interface)
                self._rtnl.link("set", index=index, ifalias=_mark(port.owner))
                if port.isolated:
                    self._rtnl.brport("set", index=index, isolated=1)
                failed.pop_all()

    def adopt_port(self, port: Port, index: int, inner_index: int) -> bool:
        """Put the host's end of an existing pair right; return False if it is not netd's."""
        with _named(f"the other end of interface {port.interface}"), ExitStack() as gone:
            gone.enter_context(_missing_is_fine())
            for link in self._rtnl.link("get", index=index):
                is_pair = (_kind(link), link.get("link")) == ("veth", inner_index)
                if not is_pair or link.get("ifalias") != _mark(port.owner):
                    return False
                bridge = _index(port.bridge)
                self._rtnl.link("set", index=index, master=bridge, mtu=port.mtu_bytes, state="up")
                self._rtnl.brport("set", index=index, isolated=int(port.isolated))
                return True
        return False

    def remove(self, name: str) -> None:
        """Remove an interface, if it is there."""
        with _named(f"interface {name}"), _missing_is_fine():
            self._rtnl.link("del", ifname=name)

    def mtu(self, name: str) -> int:
        """Return the MTU of an interface."""
        # Not by rtnetlink: this is asked for with each join, and takes a hundredth of the time.
        with _named(f"interface {name}"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_:
            request = struct.pack("16si20x", os.fsencode(name), 0)
            answer = fcntl.ioctl(any_, SIOCGIFMTU, request)
            return int(struct.unpack("16si20x", answer)[1])

    def routes(self) -> list[Route]:
        """Return what is routed by this host, in all tables of both families.

        Its own addresses are included; the routes of netd's bridges are not.
        """
        with _named("routes"):
            links = {link["index"]: link for link in self._rtnl.get_links()}
            names = {
                index: link.get("ifname")
                for index, link in links.items()
                if not (link.get("ifalias") or "").startswith(_mark(""))
            }
            return list(routes(self._rtnl.get_routes(), names))

    def uplink_mtu(self) -> int:
        """Return the MTU of the way out: the least of the default routes' interfaces, or 1500."""
        with _named("uplink"):
            ways_out = uplinks(self._rtnl.get_routes())
            mtus = [
                link.get("mtu")
                for link in (self._rtnl.get_links() if ways_out else ())
                if link["index"] in ways_out
            ]
            return min(mtus, default=DEFAULT_MTU)

    @contextmanager
    def inside(self, sandbox: Path) -> Iterator["Inside"]:
        """Yield the interfaces of a sandbox; the calling thread stays where it is."""
        with ExitStack() as stack:
            with entered(sandbox):
                rtnl = IPRoute(ext_ack=True, groups=0)
            stack.callback(rtnl.close)
            yield Inside(rtnl, sandbox)

    def _link(self, name: str) -> Any:
        try:
            return next(iter(self._rtnl.link("get", ifname=name)))
        except NetlinkError as error:
            if error.code == ENODEV:
                return None
            raise

    def _addresses(self, index: int) -> dict[Interface, int | None]:
        """Return the addresses of an interface, and who added each."""
        return {
            ip_interface(f"{found.get('address')}/{found.get('prefixlen')}"): found.get("proto")
            for found in self._rtnl.get_addr(index=index)
        }

    def _delete_address(self, index: int, address: Interface) -> None:
        prefix_length = address.network.prefixlen
        self._rtnl.addr("del", index=index, address=str(address.ip), prefixlen=prefix_length)


class Inside:
    """The interfaces of one sandbox, while its `Links.inside` is entered."""

    def __init__(self, rtnl: Any, sandbox: Path) -> None:
        self._rtnl = rtnl
        self._sandbox = sandbox

    def index(self, name: str) -> int | None:
        """Return the number of an interface; None if there is none of this name."""
        try:
            with entered(self._sandbox):
                return socket.if_nametoindex(name)
        except OSError:
            return None

    def other_end(self, index: int) -> int | None:
        """Return the number of a veth's other end, in its own namespace; None if it has none."""
        with _named(f"interface {index} in {self._sandbox}"):
            for link in self._rtnl.link("get", index=index):
                # The namespace is only said where it is not this one.
                if _kind(link) == "veth" and link.get("link_netnsid") is not None:
                    return int(link.get("link"))
        return None

    def put(self, name: str, addresses: Sequence[Interface], settings: Mapping[str, str]) -> None:
        """Give an interface its kernel settings (by key) and addresses, and set it up."""
        with _named(f"interface {name} in {self._sandbox}"):
            with entered(self._sandbox):
                index = _index(name)
                for key, value in settings.items():
                    sysctl.put(key, value)
            for address in addresses:
                try:
                    _add_address(self._rtnl, index, address)
                except NetlinkError as error:
                    if error.code != EEXIST:
                        raise
            self._rtnl.link("set", index=index, state="up")

    def remove(self, name: str, mac: str) -> None:
        """Remove an interface, if it is there; if it was renamed it is found by its address."""
        with _named(f"interface {name} in {self._sandbox}"), _missing_is_fine():
            index = self.index(name)
            if index is None:
                found = self._rtnl.get_links(address=mac)
                index = next((link["index"] for link in found), None)
            if index is not None:
                self._rtnl.link("del", index=index)

    def set_gateway(self, family: int, gateway: tuple[str, Address] | None) -> None:
        """Make this the family's only default route: an interface and an address, or none."""
        with _named(f"default route in {self._sandbox}"):
            wanted = None
            everywhere = "0.0.0.0/0" if family == 4 else "::/0"
            if gateway:
                name, address = gateway
                index = self.index(name)
                if index is None:
                    raise DriverError(f"there is no interface {name} in {self._sandbox}")
                wanted = (index, str(address))
                # First the new one, so that there is a way at any time.
                self._rtnl.route("replace", dst=everywhere, oif=index, gateway=str(address))
            kind = socket.AF_INET if family == 4 else socket.AF_INET6
            for route in self._rtnl.get_default_routes(family=kind):
                way = (route.get("oif"), route.get("gateway"))
                if way != wanted:
                    which = {"oif": way[0], "gateway": way[1], "priority": route.get("priority")}
                    given = {key: value for key, value in which.items() if value}
                    with _missing_is_fine():
                        self._rtnl.route("del", dst=everywhere, **given)


def _add_address(rtnl: Any, index: int, address: Interface) -> None:
    # netd gives each address once, so there is nothing to detect, and nothing to wait for.
    flags = {"flags": NO_DAD} if address.version == 6 else {}
    prefix_length = address.network.prefixlen
    rtnl.addr(
        "add", index=index, address=str(address.ip), prefixlen=prefix_length, proto=OURS, **flags
    )


def _is_bridge_of(link: Any, name: str, owner: str) -> bool:
    """Return whether an interface is netd's bridge; DriverError if it is of no use at all."""
    alias = link.get("ifalias") or ""
    if _kind(link) != "bridge":
        raise DriverError(f"interface {name} exists and is no bridge")
    if alias.startswith(_mark("")) and alias != _mark(owner):
        raise DriverError(f"bridge {name} belongs to network {alias.removeprefix(_mark(''))}")
    # A crash may have come between making it and marking it.
    return alias == _mark(owner) or (not alias and name.startswith(BRIDGES))


def _kind(link: Any) -> str:
    return link.get(("linkinfo", "kind")) or ""


def _mark(owner: str) -> str:
    return f"netd {owner}"[:200]  # the kernel takes 255 octets


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError as error:
        raise DriverError(f"there is no interface {name}") from error


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Say of what the kernel speaks when it refuses something."""
    try:
        yield
    except NetlinkError as error:
        raise DriverError(f"{what}: {error.args[1]}") from error
    except OSError as error:
        raise DriverError(f"{what}: {error}") from error


@contextmanager
def _missing_is_fine() -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in {ENODEV, ESRCH}:
            raise
