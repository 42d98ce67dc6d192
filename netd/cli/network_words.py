"""Words about networks, as flags take them, turned into the API's objects (pure)."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

from netd.cli.errors import CliError

_LONG_FORM = {
    "name",
    "alias",
    "ip",
    "ip6",
    "mac-address",
    "driver-opt",
    "link-local-ip",
    "gw-priority",
}


def pairs(words: Sequence[str], flag: str) -> dict[str, str]:
    """Read `key=value` words; one without `=` has an empty value."""
    out = {}
    for word in words:
        key, _, value = word.partition("=")
        if not key:
            raise CliError(f"{flag} {word!r} has no key", f"write it as {flag} key=value")
        out[key] = value
    return out


def pools(
    subnets: Sequence[str],
    gateways: Sequence[str],
    ranges: Sequence[str],
    auxiliary: Sequence[str],
) -> list[dict[str, object]]:
    """Give the API's IPAM pools: every gateway, range and address goes to the subnet it lies in."""
    found: list[dict[str, object]] = [{"Subnet": subnet} for subnet in subnets]
    if not found and (gateways or ranges or auxiliary):
        raise CliError("--gateway, --ip-range and --aux-address need a --subnet they lie in")
    for gateway in gateways:
        _put(_pool(found, gateway), "Gateway", gateway)
    for part in ranges:
        _put(_pool(found, part), "IPRange", part)
    for name, address in pairs(auxiliary, "--aux-address").items():
        pool = _pool(found, address)
        known = pool.setdefault("AuxiliaryAddresses", {})
        assert isinstance(known, dict)
        known[name] = address
    return found


def endpoint_settings(
    *,
    ipv4: str = "",
    ipv6: str = "",
    mac: str = "",
    aliases: Sequence[str] = (),
    links: Sequence[str] = (),
    priority: int = 0,
    driver_options: Sequence[str] = (),
) -> dict[str, object]:
    """Give the API's settings of one endpoint; what was not given is left out."""
    settings: dict[str, object] = {}
    addresses = {"IPv4Address": ipv4, "IPv6Address": ipv6}
    if ipv4 or ipv6:
        settings["IPAMConfig"] = {key: value for key, value in addresses.items() if value}
    if mac:
        settings["MacAddress"] = mac
    if aliases:
        settings["Aliases"] = list(aliases)
    if links:
        settings["Links"] = list(links)
    if priority:
        settings["GwPriority"] = priority
    if driver_options:
        settings["DriverOpts"] = pairs(driver_options, "--driver-opt")
    return settings


def network_word(word: str) -> tuple[str, dict[str, object]]:
    """Read one `--network`: a name, or `name=front,alias=web,ip=10.9.0.5,...`."""
    if "=" not in word:
        return word, {}
    given: dict[str, list[str]] = {}
    for part in word.split(","):
        key, _, value = part.partition("=")
        if key not in _LONG_FORM or not value:
            raise CliError(
                f"--network {word!r}: cannot read {part!r}",
                f"parts are {', '.join(sorted(_LONG_FORM))}, each with =VALUE",
            )
        given.setdefault(key, []).append(value)
    if "name" not in given:
        raise CliError(f"--network {word!r} names no network", "begin it with name=NETWORK")
    try:
        priority = int(_last(given, "gw-priority") or 0)
    except ValueError as error:
        raise CliError(f"--network {word!r}: gw-priority is no number") from error
    return _last(given, "name"), endpoint_settings(
        ipv4=_last(given, "ip"),
        ipv6=_last(given, "ip6"),
        mac=_last(given, "mac-address"),
        aliases=given.get("alias", []),
        priority=priority,
        driver_options=given.get("driver-opt", []),
    )


def _last(given: Mapping[str, list[str]], key: str) -> str:
    return given.get(key, [""])[-1]


def _pool(found: list[dict[str, object]], text: str) -> dict[str, object]:
    """Give the pool whose subnet holds an address or prefix.

    What fits none goes to the first: the daemon judges, and tells all that is wrong at once.
    """
    for pool in found:
        try:
            inner = ip_network(text, strict=False) if "/" in text else ip_network(ip_address(text))
            outer = ip_network(str(pool["Subnet"]), strict=False)
        except ValueError:
            continue
        if outer.version == inner.version and outer.supernet_of(inner):  # type: ignore[arg-type]
            return pool
    return found[0]


def _put(pool: dict[str, object], key: str, value: str) -> None:
    if key in pool:
        raise CliError(f"subnet {pool['Subnet']} has two values of {key}: {pool[key]} and {value}")
    pool[key] = value
