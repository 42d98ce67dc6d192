"""`POST /containers/create`: Docker's Config, HostConfig and NetworkingConfig as one request."""

import re
from typing import cast

from msgspec import Struct
from msgspec.structs import replace

from netd.api.docker.endpoints import EndpointSettings, endpoint_request
from netd.api.docker.host_config import HostSettings, host_config
from netd.api.docker.mounts import needed_sources, unmounted
from netd.api.docker.ports import asked_ports
from netd.api.docker.refused import NULL_ONLY, check_refused
from netd.api.docker.shapes import Int64, Json, TextMap, Texts, text_map, texts
from netd.api.requests import shaped
from netd.errors import InvalidError
from netd.model import Config, ContainerRequest, EndpointRequest

_HOSTNAME = re.compile(r"[a-zA-Z0-9_](?:[a-zA-Z0-9._-]{0,62})")
_DOMAINNAME = re.compile(r"[a-zA-Z0-9_.-]{0,253}")
_CONTAINER_MODE = "container:"


class NetworkingConfig(Struct, rename="pascal"):
    """The container's networks by name or id."""

    endpoints_config: dict[str, EndpointSettings | None] | None = None


class CreateBody(Struct, rename="pascal"):
    """The fields that netd honours; the rest is in `refused`."""

    image: str | None = None
    cmd: list[str] | str | None = None
    entrypoint: list[str] | str | None = None
    env: Texts = None
    user: str | None = None
    working_dir: str | None = None
    hostname: str | None = None
    domainname: str | None = None
    labels: TextMap = None
    tty: bool | None = None
    open_stdin: bool | None = None
    stdin_once: bool | None = None
    attach_stdin: bool | None = None
    attach_stdout: bool | None = None
    attach_stderr: bool | None = None
    exposed_ports: dict[str, Json | None] | None = None
    stop_signal: str | None = None
    stop_timeout: Int64 | None = None
    mac_address: str | None = None  # of the first network; newer clients say it there
    host_config: HostSettings | None = None
    networking_config: NetworkingConfig | None = None


class Creation(Struct, frozen=True):
    """What a client wants created."""

    request: ContainerRequest
    sources: tuple[str, ...]  # paths of the host that must be there
    warnings: tuple[str, ...]


def creation(value: object, name: str, platform: str) -> Creation:
    """Return what a decoded body asks for; raises InvalidError with all that is refused."""
    body = shaped(value, CreateBody)
    raw = cast("Json", value)
    raw_host = dict(cast("Json", raw.get("HostConfig") or {}))
    host = body.host_config or HostSettings()
    mode = _network_mode(host)
    opened = [raw_host.get(name) for name in NULL_ONLY] == [[], []]
    if opened:
        raw_host = {key: each for key, each in raw_host.items() if key not in NULL_ONLY}
        # What the docker client makes of --security-opt systempaths=unconfined.
        host.security_opt = [*(host.security_opt or ()), "systempaths=unconfined"]
    check_refused(_without_mounted(raw, host), raw_host)
    mode, endpoints = _endpoints(mode, body)
    ports = asked_ports(body.exposed_ports or (), host.port_bindings)
    warnings: tuple[str, ...] = ()
    if mode == "host" and (ports.requests or host.publish_all_ports):
        ports, host.publish_all_ports = ports._replace(requests=()), False
        warnings = ("Published ports are discarded when using host network mode",)
    request = ContainerRequest(
        name=name,
        config=_config(body, ports.exposed),
        host=host_config(host, mode, ports.requests),
        endpoints=endpoints,
        platform=platform,
    )
    return Creation(request, tuple(needed_sources(host.mounts or ())), warnings)


def _without_mounted(raw: Json, host: HostSettings) -> Json:
    volumes = raw.get("Volumes")
    if not isinstance(volumes, dict):
        return raw
    left = unmounted(volumes, texts(host.binds), text_map(host.tmpfs), host.mounts or ())
    return {**raw, "Volumes": left}


def _network_mode(host: HostSettings) -> str:
    mode = host.network_mode or "default"
    if mode.startswith(_CONTAINER_MODE):
        raise InvalidError(f"netd does not support: HostConfig.NetworkMode is {mode!r}")
    return mode


def _endpoints(mode: str, body: CreateBody) -> tuple[str, dict[str, EndpointRequest]]:
    """Return the network mode and what is asked for on each network; "default" means bridge."""
    given = (body.networking_config or NetworkingConfig()).endpoints_config or {}
    named = {"bridge" if name == "default" else name: each for name, each in given.items()}
    if "" in named:
        raise InvalidError("NetworkingConfig.EndpointsConfig: a network's name is empty")
    if mode == "default":
        # As in Docker: networks that are named take the default one's place.
        mode = "bridge" if not named or "bridge" in named else next(iter(named))
    _check_together(mode, set(named))
    endpoints = {name: endpoint_request(name, each) for name, each in named.items()}
    if body.mac_address:
        first = mode if mode in endpoints or len(endpoints) != 1 else next(iter(endpoints))
        asked = endpoints.get(first, EndpointRequest())
        if asked.mac and asked.mac.lower() != body.mac_address.lower():
            raise InvalidError(
                "the container-wide MAC address must match the endpoint-specific MAC address for "
                f"the main network, or should be left empty: {body.mac_address}, {asked.mac}"
            )
        if mode in {"host", "none"}:
            raise InvalidError("conflicting options: mac-address and the network mode")
        endpoints[first] = replace(asked, mac=body.mac_address)
    return mode, endpoints


def _check_together(mode: str, named: set[str]) -> None:
    together = {mode, *named}
    if len(together) == 1:
        return
    if "host" in together:
        raise InvalidError(
            "container sharing network namespace with another container or host cannot be "
            "connected to any other network"
        )
    if "none" in together:
        raise InvalidError(
            "container cannot be connected to multiple networks with one of the networks in "
            "private (none) mode"
        )


def _config(body: CreateBody, exposed_ports: tuple[str, ...]) -> Config:
    if not body.image:
        raise InvalidError("no image is named: Config.Image is empty")
    _check_config(body)
    return Config(
        image=body.image,
        cmd=_words(body.cmd),
        entrypoint=_words(body.entrypoint),
        env=texts(body.env),
        user=body.user or "",
        working_dir=body.working_dir or "",
        hostname=body.hostname or "",
        domainname=body.domainname or "",
        labels=text_map(body.labels),
        tty=bool(body.tty),
        open_stdin=bool(body.open_stdin),
        stdin_once=bool(body.stdin_once),
        attach_stdin=bool(body.attach_stdin),
        attach_stdout=bool(body.attach_stdout),
        attach_stderr=bool(body.attach_stderr),
        exposed_ports=exposed_ports,
        stop_signal=body.stop_signal or "",
        stop_timeout_s=body.stop_timeout,
    )


def _check_config(body: CreateBody) -> None:
    if body.working_dir and not body.working_dir.startswith("/"):
        raise InvalidError(
            f"the working directory '{body.working_dir}' is invalid, it needs to be an absolute "
            "path"
        )
    if body.hostname and not _HOSTNAME.fullmatch(body.hostname):
        raise InvalidError(f"invalid hostname format: {body.hostname}")
    if body.domainname and not _DOMAINNAME.fullmatch(body.domainname):
        raise InvalidError(f"invalid domainname format: {body.domainname}")
    for entry in texts(body.env):
        if not entry or entry.startswith("="):
            raise InvalidError(f"invalid environment variable: {entry!r}")


def _words(value: list[str] | str | None) -> tuple[str, ...] | None:
    """Return a command: a string is one word, as in Docker; null is none at all."""
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)
