"""version and info: what the client and the daemon are."""

import os
import sys
from typing import Any

import typer

from netd import __version__
from netd.cli.errors import CliError, UnreachableError
from netd.cli.tables import write
from netd.cli.units import binary_size
from netd.cli.words import InspectForm, client_of


def version(ctx: typer.Context, form: InspectForm = "") -> None:
    """Show the versions of the client and the daemon.

    Example: netd version -f '{{.Server.Version}}'
    """
    client: dict[str, object] = {
        "Version": __version__,
        "PythonVersion": sys.version.split()[0],
        "Os": sys.platform,
        "Arch": os.uname().machine,
        "Context": str(ctx.obj),
    }
    server: dict[str, Any] | None = None
    problem: CliError | None = None
    try:
        server = client_of(ctx).json("GET", "/version")
    except UnreachableError as error:
        problem = error
    if form:
        from netd.cli.template import Template

        template = Template("{{json .}}" if form == "json" else form)
        write(template.render({"Client": client, "Server": server}) + "\n")
    else:
        write(_version_text(client, server))
    if problem:
        raise problem


def info(ctx: typer.Context, form: InspectForm = "") -> None:
    """Show what the daemon has and how it is set.

    Example: netd info -f '{{.Driver}} {{.CgroupVersion}}'
    """
    facts: dict[str, Any] = client_of(ctx).json("GET", "/info")
    if form:
        from netd.cli.template import Template

        write(Template("{{json .}}" if form == "json" else form).render(facts) + "\n")
        return
    write(info_text(facts))
    for warning in facts.get("Warnings") or []:
        print(f"warning: {warning}", file=sys.stderr)


def info_text(facts: dict[str, Any]) -> str:
    """Say the facts of `GET /info` in lines; those a daemon does not give are left out."""
    lines = [
        ("Containers", facts.get("Containers")),
        (" Running", facts.get("ContainersRunning")),
        (" Paused", facts.get("ContainersPaused")),
        (" Stopped", facts.get("ContainersStopped")),
        ("Images", facts.get("Images")),
        ("Server Version", facts.get("ServerVersion")),
        ("Storage Driver", facts.get("Driver")),
        *((f" {name}", value) for name, value in facts.get("DriverStatus") or []),
        ("Logging Driver", facts.get("LoggingDriver")),
        ("Cgroup Driver", facts.get("CgroupDriver")),
        ("Cgroup Version", facts.get("CgroupVersion")),
        ("Network Drivers", " ".join((facts.get("Plugins") or {}).get("Network") or [])),
        ("Firewall Backend", (facts.get("FirewallBackend") or {}).get("Driver")),
        ("Runtimes", " ".join(sorted(facts.get("Runtimes") or {}))),
        ("Default Runtime", facts.get("DefaultRuntime")),
        ("Security Options", " ".join(facts.get("SecurityOptions") or [])),
        ("Kernel Version", facts.get("KernelVersion")),
        ("Operating System", facts.get("OperatingSystem")),
        ("Architecture", facts.get("Architecture")),
        ("CPUs", facts.get("NCPU")),
        ("Total Memory", binary_size(facts["MemTotal"]) if facts.get("MemTotal") else None),
        ("Name", facts.get("Name")),
        ("ID", facts.get("ID")),
        ("Root Dir", facts.get("DockerRootDir")),
        ("Labels", " ".join(facts.get("Labels") or [])),
    ]
    return "".join(f"{name}: {value}\n" for name, value in lines if value not in {None, ""})


def _version_text(client: dict[str, object], server: dict[str, Any] | None) -> str:
    lines = [
        "Client: netd",
        f" Version:           {client['Version']}",
        f" Python version:    {client['PythonVersion']}",
        f" OS/Arch:           {client['Os']}/{client['Arch']}",
        f" Host:              {client['Context']}",
    ]
    if server is not None:
        lines += ["", f"Server: {server.get('Platform', {}).get('Name') or 'netd'}"]
        lines += _component(" ", server)
        lines += [f" OS/Arch:           {server.get('Os')}/{server.get('Arch')}"]
        for part in server.get("Components") or []:
            if part.get("Version") != server.get("Version"):
                lines += [f" {part['Name']}:", f"  Version:          {part.get('Version')}"]
    return "\n".join(lines) + "\n"


def _component(indent: str, server: dict[str, Any]) -> list[str]:
    api = f"{server.get('ApiVersion')} (minimum version {server.get('MinAPIVersion')})"
    return [
        f"{indent}Version:           {server.get('Version')}",
        f"{indent}API version:       {api}",
        f"{indent}Kernel:            {server.get('KernelVersion')}",
    ]
