"""The words of `run` and `create`, by docker's names."""

from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from netd.cli.words import DetachKeys, argument


def _flag(help_text: str, *names: str) -> Any:
    return typer.Option(*names, help=help_text)


def _word(help_text: str, *names: str, metavar: str = "string") -> Any:
    return typer.Option(*names, metavar=metavar, help=help_text, show_default=False)


def _list(help_text: str, *names: str) -> Any:
    return _word(help_text, *names, metavar="list")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerOptions:
    """What a container is made from."""

    image: Annotated[str, argument("IMAGE")]
    command: Annotated[list[str], argument("[COMMAND] [ARG...]")] = field(default_factory=list)
    name: Annotated[str, _word("Name of the container", "--name")] = ""
    # What runs, and with which streams.
    attach: Annotated[list[str], _list("Attach to stdin, stdout or stderr", "-a", "--attach")] = (
        field(default_factory=list)
    )
    interactive: Annotated[bool, _flag("Keep standard input open", "-i", "--interactive")] = False
    tty: Annotated[bool, _flag("Give it a terminal", "-t", "--tty")] = False
    entrypoint: Annotated[
        str | None, _word("Program to run instead of the image's", "--entrypoint")
    ] = None
    env: Annotated[list[str], _list("Environment variable", "-e", "--env")] = field(
        default_factory=list
    )
    env_file: Annotated[list[str], _list("File of environment variables", "--env-file")] = field(
        default_factory=list
    )
    user: Annotated[str, _word("User, as name or id[:group]", "-u", "--user")] = ""
    group_add: Annotated[list[str], _list("Further group", "--group-add")] = field(
        default_factory=list
    )
    workdir: Annotated[str, _word("Working directory", "-w", "--workdir")] = ""
    init: Annotated[bool, _flag("Run an init that reaps processes", "--init")] = False
    stop_signal: Annotated[str, _word("Signal that stops it", "--stop-signal")] = ""
    stop_timeout: Annotated[
        int | None, _word("Seconds before it is killed", "--stop-timeout", metavar="int")
    ] = None
    rm: Annotated[bool, _flag("Remove it when it ends", "--rm")] = False
    label: Annotated[list[str], _list("Label, as key=value", "-l", "--label")] = field(
        default_factory=list
    )
    label_file: Annotated[list[str], _list("File of labels", "--label-file")] = field(
        default_factory=list
    )
    log_driver: Annotated[str, _word("json-file or none", "--log-driver")] = ""
    # Its networks.
    network: Annotated[
        list[str],
        _list("Network: a name, or name=front,alias=web,ip=10.9.0.5", "--network", "--net"),
    ] = field(default_factory=list)
    network_alias: Annotated[
        list[str], _list("Further name on the network", "--network-alias", "--net-alias")
    ] = field(default_factory=list)
    ip: Annotated[str, _word("IPv4 address", "--ip")] = ""
    ip6: Annotated[str, _word("IPv6 address", "--ip6")] = ""
    mac_address: Annotated[str, _word("MAC address", "--mac-address")] = ""
    link: Annotated[list[str], _list("Name another container: name[:alias]", "--link")] = field(
        default_factory=list
    )
    publish: Annotated[
        list[str],
        _list("Publish a port: 8080:80, 127.0.0.1:53:53/udp, 8000-8009:80", "-p", "--publish"),
    ] = field(default_factory=list)
    publish_all: Annotated[
        bool, _flag("Publish all exposed ports, on free ones of the host", "-P", "--publish-all")
    ] = False
    expose: Annotated[
        list[str], _list("Port or ports it listens on: 80, 80-90/udp", "--expose")
    ] = field(default_factory=list)
    hostname: Annotated[str, _word("Host name", "-h", "--hostname")] = ""
    domainname: Annotated[str, _word("Domain name", "--domainname")] = ""
    dns: Annotated[list[str], _list("Name server to ask", "--dns")] = field(default_factory=list)
    dns_search: Annotated[list[str], _list("Search domain", "--dns-search")] = field(
        default_factory=list
    )
    dns_option: Annotated[
        list[str], _list("Option in resolv.conf", "--dns-option", "--dns-opt")
    ] = field(default_factory=list)
    add_host: Annotated[list[str], _list("Line for /etc/hosts: name:address", "--add-host")] = (
        field(default_factory=list)
    )
    # What it may.
    privileged: Annotated[bool, _flag("Give it all privileges", "--privileged")] = False
    cap_add: Annotated[list[str], _list("Add a capability", "--cap-add")] = field(
        default_factory=list
    )
    cap_drop: Annotated[list[str], _list("Drop a capability", "--cap-drop")] = field(
        default_factory=list
    )
    security_opt: Annotated[list[str], _list("Security option", "--security-opt")] = field(
        default_factory=list
    )
    sysctl: Annotated[list[str], _list("Kernel setting, as key=value", "--sysctl")] = field(
        default_factory=list
    )
    runtime: Annotated[str, _word("OCI runtime", "--runtime")] = ""
    # Its files.
    volume: Annotated[
        list[str], _list("Host path to show inside: /host:/inside[:ro]", "-v", "--volume")
    ] = field(default_factory=list)
    mount: Annotated[
        list[str], _list("Mount: type=bind,source=/host,target=/inside", "--mount")
    ] = field(default_factory=list)
    tmpfs: Annotated[list[str], _list("Folder in memory: /inside[:size=1m]", "--tmpfs")] = field(
        default_factory=list
    )
    read_only: Annotated[bool, _flag("Let it write nothing to its root", "--read-only")] = False
    shm_size: Annotated[str, _word("Size of /dev/shm", "--shm-size", metavar="bytes")] = ""
    # How much.
    memory: Annotated[str, _word("Memory limit", "-m", "--memory", metavar="bytes")] = ""
    memory_reservation: Annotated[
        str, _word("Soft memory limit", "--memory-reservation", metavar="bytes")
    ] = ""
    memory_swap: Annotated[
        str, _word("Limit of memory and swap; -1: no limit", "--memory-swap", metavar="bytes")
    ] = ""
    cpus: Annotated[str, _word("Number of CPUs", "--cpus", metavar="decimal")] = ""
    cpu_shares: Annotated[int, _word("Relative weight", "-c", "--cpu-shares", metavar="int")] = 0
    cpu_period: Annotated[int, _word("CPU period in us", "--cpu-period", metavar="int")] = 0
    cpu_quota: Annotated[int, _word("CPU quota in us", "--cpu-quota", metavar="int")] = 0
    cpuset_cpus: Annotated[str, _word("CPUs it may use: 0-3", "--cpuset-cpus")] = ""
    cpuset_mems: Annotated[str, _word("Memory nodes it may use", "--cpuset-mems")] = ""
    pids_limit: Annotated[int, _word("Most processes", "--pids-limit", metavar="int")] = 0
    ulimit: Annotated[list[str], _list("Limit, as name=soft[:hard]", "--ulimit")] = field(
        default_factory=list
    )
    oom_score_adj: Annotated[
        int, _word("Preference when memory is short", "--oom-score-adj", metavar="int")
    ] = 0
    # Of the client's, or said for docker's sake.
    cidfile: Annotated[str, _word("File to write the id to", "--cidfile", metavar="file")] = ""
    platform: Annotated[str, _word("Platform of the image", "--platform")] = ""
    pull: Annotated[str, _word("Accepted, does nothing: netd never pulls", "--pull")] = ""
    quiet: Annotated[bool, _flag("Accepted, does nothing", "-q", "--quiet")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(ContainerOptions):
    """What `run` takes beside."""

    detach: Annotated[bool, _flag("Run in the background and print the id", "-d", "--detach")] = (
        False
    )
    detach_keys: DetachKeys = ""
    sig_proxy: Annotated[
        bool, _flag("Forward signals to the process", "--sig-proxy/--no-sig-proxy")
    ] = True
