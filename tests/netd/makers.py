"""Values for tests of the daemon's services."""

from datetime import UTC, datetime
from ipaddress import ip_address, ip_interface, ip_network

from msgspec.structs import replace

from netd.model import (
    Config,
    Container,
    Endpoint,
    EndpointRequest,
    HostConfig,
    Image,
    Network,
    State,
    Status,
    Subnet,
)

EPOCH = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def subnet(prefix: str = "10.0.0.0/24", gateway: str = "10.0.0.1", **more: object) -> Subnet:
    return Subnet(ip_network(prefix), ip_address(gateway) if gateway else None, **more)


def network(name: str = "front", *subnets: Subnet, **more: object) -> Network:
    settings = {"driver": "bridge", "created": EPOCH, "subnets": subnets or (subnet(),), **more}
    return Network(id=f"{name.encode().hex():0<64}", name=name, **settings)


def endpoint(net: Network, *addresses: str, interface: str = "", **request: object) -> Endpoint:
    return Endpoint(
        id=f"e{net.id[1:]}",
        network_id=net.id,
        network_name=net.name,
        request=EndpointRequest(**request),
        interface=interface or ("eth0" if addresses else ""),
        addresses=tuple(ip_interface(each) for each in addresses),
        gateways=tuple(s.gateway for s in net.subnets if s.gateway) if addresses else (),
    )


def container(name: str = "web", *endpoints: Endpoint, **more: object) -> Container:
    settings = {
        "created": EPOCH,
        "image_id": "sha256:" + "a" * 64,
        "config": Config(image="demo", hostname=name.encode().hex().ljust(12, "0")[:12]),
        "host": HostConfig(),
        "path": "sh",
        "args": (),
        **more,
    }
    return Container(id=f"{name.encode().hex():0<64}", name=name, endpoints=endpoints, **settings)


def running(made: Container, pid: int = 42) -> Container:
    return replace(made, state=State(Status.RUNNING, pid=pid, started=EPOCH))


def image(*names: str, digit: str = "a", **more: object) -> Image:
    settings = {
        "created": EPOCH, "tagged": EPOCH, "size": 10, "layers": (), "config": Config(image=""),
        "architecture": "amd64", **more,
    }  # fmt: skip
    return Image(id="sha256:" + digit * 64, names=names, **settings)
