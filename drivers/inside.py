"""The interfaces inside a sandbox, as seen from the host."""

import socket
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drivers import rtnetlink, sysctl
from drivers.contract import Address, DriverError, Interface
from drivers.refusals import index_of, missing_is_fine, named
from drivers.sandbox import entered


class Inside:
    """The interfaces of one sandbox, while its `Links.inside` is entered."""

    def __init__(self, sandbox: Path, rtnl: Callable[[], Any]) -> None:
        self._sandbox = sandbox
        self._open = rtnl
        self._opened: Any = None

    def close(self) -> None:
        """Give the socket back, if one was needed."""
        if self._opened is not None:
            self._opened.close()

    def index(self, name: str) -> int | None:
        """Return the number of an interface; None if there is none of this name."""
        try:
            with entered(self._sandbox):
                return socket.if_nametoindex(name)
        except OSError:
            return None

    def other_end(self, index: int) -> int | None:
        """Return the number of a veth's other end, in its own namespace; None if it has none."""
        with named(f"interface {index} in {self._sandbox}"):
            for link in self._rtnl.link("get", index=index):
                # The namespace is only said where it is not this one.
                is_veth = link.get(("linkinfo", "kind")) == "veth"
                if is_veth and link.get("link_netnsid") is not None:
                    return int(link.get("link"))
        return None

    def put(self, name: str, addresses: Sequence[Interface], settings: Mapping[str, str]) -> None:
        """Give an interface its kernel settings (by key) and addresses, and set it up."""
        with named(f"interface {name} in {self._sandbox}"), entered(self._sandbox):
            index = index_of(name)
            for key, value in settings.items():
                sysctl.put(key, value)
            given = [rtnetlink.address(index, address) for address in addresses]
            rtnetlink.send([*given, rtnetlink.up(index)])

    def remove(self, name: str, mac: str) -> None:
        """Remove an interface, if it is there; if it was renamed it is found by its address."""
        with named(f"interface {name} in {self._sandbox}"), missing_is_fine():
            index = self.index(name)
            if index is None:
                found = self._rtnl.get_links(address=mac)
                index = next((link["index"] for link in found), None)
            if index is not None:
                self._rtnl.link("del", index=index)

    def set_gateway(self, family: int, gateway: tuple[str, Address] | None) -> None:
        """Make this the family's only default route: an interface and an address, or none."""
        with named(f"default route in {self._sandbox}"):
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
                    with missing_is_fine():
                        self._rtnl.route("del", dst=everywhere, **given)

    @property
    def _rtnl(self) -> Any:
        # A plain join does without, which saves a fifth of its time.
        if self._opened is None:
            with entered(self._sandbox):
                self._opened = self._open()
        return self._opened
