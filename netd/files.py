"""The three files that Docker writes for a container: hosts, hostname and resolv.conf.

The texts are pure functions; `write` puts them into the container's folder, from where they are
bind-mounted. A file that is mounted already is rewritten in place: a new one would not be seen.
"""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from netd.model import Address, Container
from netd.sandboxes import on_host

LOCAL_HOSTS = """\
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
"""
RESOLVER = "127.0.0.11"
FILES = ("hosts", "hostname", "resolv.conf")


def hosts(container: Container, host_gateways: Sequence[Address]) -> str:
    """Return /etc/hosts: the local names, the user's (`--add-host`), the container's own."""
    lines = [LOCAL_HOSTS]
    for entry in container.host.extra_hosts:
        name, _, address = entry.partition(":")
        targets: Iterable[object] = (
            host_gateways if address == "host-gateway" else [address.strip("[]")]
        )
        lines += [f"{target}\t{name}\n" for target in targets]
    own = container.config.hostname
    if container.config.domainname:
        own = f"{own}.{container.config.domainname} {own}"
    lines += [
        f"{interface.ip}\t{own}\n"
        for endpoint in container.endpoints
        for interface in endpoint.addresses
    ]
    return "".join(lines)


def resolv_conf(container: Container, host_text: str) -> str:
    """Return /etc/resolv.conf: the embedded server, or the host's servers on host and none.

    The search domains and options are the user's, else the host's. `ndots:0` lets a single label
    be asked for as it is, so that container names work with any search list.
    """
    settings = _settings(host_text)
    embedded = any(endpoint.interface for endpoint in container.endpoints)
    servers = [RESOLVER] if embedded else [*container.host.dns] or settings["nameserver"]
    search = [*container.host.dns_search] or settings["search"]
    options = [*container.host.dns_options] or settings["options"]
    if embedded and not any(option.startswith("ndots:") for option in options):
        options = [*options, "ndots:0"]
    lines = ["# Written by netd for this container; changes are overwritten at its next start."]
    if embedded:
        lines[0] = f"# Written by netd: {RESOLVER} is its embedded DNS server."
    lines += [f"nameserver {server}" for server in servers]
    if search and search != ["."]:
        lines.append(f"search {' '.join(search)}")
    if options:
        lines.append(f"options {' '.join(options)}")
    return "\n".join(lines) + "\n"


def write(
    container: Container,
    folder: Path,
    host_gateways: Sequence[Address],
    host_etc: Path = Path("/etc"),
) -> None:
    """Write the three files into the container's folder; repeatable."""
    host_text = _read(host_etc / "resolv.conf")
    own_hosts = hosts(container, host_gateways)
    if on_host(container) and not container.host.extra_hosts:
        own_hosts = _read(host_etc / "hosts") or LOCAL_HOSTS
    name = f"{container.config.hostname}\n"
    for file, text in zip(FILES, (own_hosts, name, resolv_conf(container, host_text)), strict=True):
        _put(folder / file, text.encode())


def _put(path: Path, data: bytes) -> None:
    # Not emptied first: a container never reads half a file, and ext4 flushes one that was emptied
    # to the disk when it is closed, which takes longer than all else of joining a network.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        if os.read(descriptor, len(data) + 1) != data:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        os.close(descriptor)


def _settings(resolv: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {"nameserver": [], "search": [], "options": []}
    for line in resolv.splitlines():
        key, *values = line.split() or [""]
        if key == "nameserver":
            found[key] += values[:1]
        elif key in {"search", "options"}:
            found[key] = values
        elif key == "domain":
            found["search"] = values
    return found


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
