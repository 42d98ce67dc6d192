"""The daemon's settings: flags over environment over /etc/netd/netd.toml over defaults.

Every setting has one name, dockerd's where it has one: the flag `--data-root`, the variable
NETD_DATA_ROOT and the key `data-root` are the same thing. A list is separated by spaces in the
environment, and an array in the file.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

from msgspec import Struct

import ipam
from netd.errors import InvalidError
from netd.model import Address

FILE = Path("/etc/netd/netd.toml")
LISTS = ("default-address-pool", "dns")
FIREWALL_BACKENDS = ("iptables", "nftables")
LOG_LEVELS = ("debug", "info", "warning", "warn", "error", "fatal")


class DaemonConfig(Struct, frozen=True):
    """The settings of one daemon, checked."""

    data_root: Path = Path("/var/lib/netd")
    exec_root: Path = Path("/run/netd")
    host: Path = Path("/run/netd/netd.sock")  # the API's unix socket
    pidfile: Path = Path("/run/netd/netd.pid")
    address_pools: tuple[ipam.Pool, ...] = ipam.DEFAULT_POOLS
    dns: tuple[Address, ...] = ()  # empty: the host's resolv.conf
    mtu: int | None = None  # absent: the uplink's
    log_level: str = "info"
    default_runtime: str = ""  # empty: the first that works
    group: str = "netd"  # may use the socket, where it exists
    firewall_backend: str = ""  # empty: what the machine has
    ip: Address | None = None  # of the host, for published ports; absent: every one


def daemon_config(
    flags: Mapping[str, object],
    environment: Mapping[str, str] = os.environ,
    file: Path | None = None,
) -> DaemonConfig:
    """Return the settings; all mistakes are reported in one InvalidError.

    `flags` and the file hold the settings by their names (`data-root`). A file named by the flag
    `config-file`, by NETD_CONFIG_FILE or by `file` must exist; /etc/netd/netd.toml need not.
    """
    known = _known(flags, environment, file)
    problems: list[str] = []
    texts = {name: _texts(name, value, problems) for name, value in known.items()}
    exec_root = Path(texts.get("exec-root", ["/run/netd"])[0])
    config = DaemonConfig(
        data_root=Path(texts.get("data-root", ["/var/lib/netd"])[0]),
        exec_root=exec_root,
        host=_socket(texts.get("host", [f"unix://{exec_root}/netd.sock"])[0], problems),
        pidfile=Path(texts.get("pidfile", [f"{exec_root}/netd.pid"])[0]),
        address_pools=_pools(texts.get("default-address-pool", []), problems),
        dns=_addresses("dns", texts.get("dns", []), problems),
        mtu=_mtu(texts.get("mtu", ["0"])[0], problems),
        log_level=texts.get("log-level", ["info"])[0],
        default_runtime=texts.get("default-runtime", [""])[0],
        group=texts.get("group", ["netd"])[0],
        firewall_backend=texts.get("firewall-backend", [""])[0],
        ip=_address("ip", texts.get("ip", [])[:1], problems),
    )
    problems += _problems(config)
    if problems:
        raise InvalidError("; ".join(problems))
    return config


NAMES = (
    "data-root", "exec-root", "host", "pidfile", "default-address-pool", "dns", "mtu",
    "log-level", "default-runtime", "group", "firewall-backend", "ip",
)  # fmt: skip


def _known(
    flags: Mapping[str, object], environment: Mapping[str, str], file: Path | None
) -> dict[str, object]:
    named = flags.get("config-file") or environment.get("NETD_CONFIG_FILE") or file
    path = Path(str(named)) if named else FILE
    settings: dict[str, object] = {}
    if named or path.exists():
        try:
            settings = tomllib.loads(path.read_text())
        except OSError as error:
            raise InvalidError(f"config file {path}: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidError(f"config file {path} is not TOML: {error}") from error
        unknown = sorted(set(settings) - set(NAMES))
        if unknown:
            raise InvalidError(f"config file {path}: unknown setting {', '.join(unknown)}")
    for name in NAMES:
        text = environment.get(f"NETD_{name.upper().replace('-', '_')}")
        if text:
            settings[name] = text.split() if name in LISTS else text
        if flags.get(name):
            settings[name] = flags[name]
    return settings


def _texts(name: str, value: object, problems: list[str]) -> list[str]:
    values = value if isinstance(value, list | tuple) else [value]
    if name not in LISTS and len(values) != 1:
        problems.append(f"{name} takes one value, not {len(values)}")
    if any(not isinstance(each, str | int | Path) or isinstance(each, bool) for each in values):
        problems.append(f"{name} must be text: {value!r}")
    return [str(each) for each in values] or [""]


def _socket(text: str, problems: list[str]) -> Path:
    path = text.removeprefix("unix://")
    if not text.startswith("unix://") or not path.startswith("/"):
        problems.append(f"host must be unix:///ABSOLUTE/PATH: {text!r}")
    elif len(os.fsencode(path)) > 107:  # sun_path, unix(7)
        problems.append(f"host is longer than a socket's path may be (107 octets): {path!r}")
    return Path(path)


def _pools(texts: Sequence[str], problems: list[str]) -> tuple[ipam.Pool, ...]:
    pools: list[ipam.Pool] = []
    for text in texts:
        try:
            pools.append(ipam.pool(text))
        except ipam.IpamError as error:
            problems.append(str(error))
    return tuple(pools) or ipam.DEFAULT_POOLS


def _addresses(name: str, texts: Sequence[str], problems: list[str]) -> tuple[Address, ...]:
    addresses: list[Address] = []
    for text in texts:
        try:
            addresses.append(ip_address(text))
        except ValueError:
            problems.append(f"{name} is not an address: {text!r}")
    return tuple(addresses)


def _mtu(text: str, problems: list[str]) -> int | None:
    if text == "0":
        return None
    if not text.isdecimal() or not 68 <= int(text) <= 65535:
        problems.append(f"mtu must be from 68 to 65535: {text!r}")
        return None
    return int(text)


def _address(name: str, texts: Sequence[str], problems: list[str]) -> Address | None:
    address = next(iter(_addresses(name, texts, problems)), None)
    if getattr(address, "scope_id", None):  # no rule of a firewall can hold one
        problems.append(f"{name} must have no interface: {str(address)!r}")
    return address


def _problems(config: DaemonConfig) -> list[str]:
    folders = {
        "data-root": config.data_root,
        "exec-root": config.exec_root,
        "pidfile": config.pidfile,
    }
    relative = [
        f"{name} must be an absolute path: {str(path)!r}"
        for name, path in folders.items()
        if not path.is_absolute()
    ]
    return relative + [
        f"{name} must be one of {', '.join(choices)}: {value!r}"
        for name, value, choices in (
            ("log-level", config.log_level, LOG_LEVELS),
            ("firewall-backend", config.firewall_backend or "iptables", FIREWALL_BACKENDS),
        )
        if value not in choices
    ]
