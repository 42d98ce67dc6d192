"""The answers of the API, as far as the commands read them (Docker Engine API)."""

from typing import TypedDict


class Port(TypedDict, total=False):
    """A port in a list of containers."""

    IP: str
    PrivatePort: int
    PublicPort: int
    Type: str


class PublicPort(TypedDict):
    """Where on the host a port of a container is reached."""

    HostIp: str
    HostPort: str


PublicPorts = dict[str, list[PublicPort] | None]  # by port: "80/tcp"; null: not published


class MountPoint(TypedDict, total=False):
    """A mount in a list of containers."""

    Name: str
    Source: str
    Destination: str


class NetworksOf(TypedDict, total=False):
    """A container's networks by name."""

    Networks: dict[str, object]


class ContainerSummary(TypedDict, total=False):
    """One of `GET /containers/json`."""

    Id: str
    Names: list[str]
    Image: str
    ImageID: str
    Command: str
    Created: int
    Ports: list[Port]
    SizeRw: int
    SizeRootFs: int
    Labels: dict[str, str] | None
    State: str
    Status: str
    NetworkSettings: NetworksOf
    Mounts: list[MountPoint]


class ContainerConfig(TypedDict, total=False):
    """`Config` of a container."""

    Tty: bool
    OpenStdin: bool
    StdinOnce: bool


class ContainerState(TypedDict, total=False):
    """`State` of a container."""

    Running: bool
    ExitCode: int


class NetworkSettings(TypedDict, total=False):
    """`NetworkSettings` of a container."""

    Ports: PublicPorts | None


class HostSettings(TypedDict, total=False):
    """`HostConfig` of a container."""

    AutoRemove: bool


class ContainerDetails(TypedDict):
    """`GET /containers/{id}/json`."""

    Id: str
    Name: str
    Config: ContainerConfig
    State: ContainerState
    HostConfig: HostSettings
    NetworkSettings: NetworkSettings


class NetworkSummary(TypedDict, total=False):
    """One of `GET /networks`."""

    Id: str
    Name: str
    Created: str
    Scope: str
    Driver: str
    EnableIPv4: bool
    EnableIPv6: bool
    Internal: bool
    Labels: dict[str, str] | None
    IPAM: dict[str, object]
    Containers: dict[str, object] | None


class ImageSummary(TypedDict, total=False):
    """One of `GET /images/json`."""

    Id: str
    RepoTags: list[str] | None
    RepoDigests: list[str] | None
    Created: int
    Size: int
    SharedSize: int
    Containers: int


class HistoryEntry(TypedDict, total=False):
    """One of `GET /images/{name}/history`."""

    Id: str
    Created: int
    CreatedBy: str
    Size: int
    Comment: str


class RemovedImage(TypedDict, total=False):
    """One of the answer to `DELETE /images/{name}`."""

    Untagged: str
    Deleted: str


class Actor(TypedDict):
    """Whom an event is about."""

    ID: str
    Attributes: dict[str, str] | None


class EventMessage(TypedDict):
    """One of `GET /events`."""

    Type: str
    Action: str
    Actor: Actor
    time: int
    timeNano: int


class RuleOwner(TypedDict):
    """Whose a rule of the firewall is; both empty: it is there for all networks."""

    Network: str
    Container: str


class FirewallRule(TypedDict):
    """A rule in force."""

    Owner: RuleOwner
    Stage: str
    Reason: str
    Verdict: str
    Packets: int | None
    Bytes: int | None
    Place: str
    Raw: str


class FirewallRules(TypedDict):
    """`GET /netd/rules`."""

    Backend: str
    Rules: list[FirewallRule]
