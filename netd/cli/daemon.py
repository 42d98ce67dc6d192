"""daemon: run the daemon in the foreground."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated

import typer

from netd.cli.words import with_options


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonOptions:
    """The words of `daemon`, by dockerd's names; what is not given stays for the configuration."""

    data_root: Annotated[
        str, typer.Option("--data-root", metavar="path", help="Folder of what survives a reboot",
                          show_default=False)
    ] = ""  # fmt: skip
    exec_root: Annotated[
        str, typer.Option("--exec-root", metavar="path", help="Folder of what runs",
                          show_default=False)
    ] = ""  # fmt: skip
    host: Annotated[
        str, typer.Option("-H", "--host", metavar="unix://PATH", help="Socket to serve",
                          show_default=False)
    ] = ""  # fmt: skip
    pidfile: Annotated[
        str, typer.Option("-p", "--pidfile", metavar="path", help="File for the process id",
                          show_default=False)
    ] = ""  # fmt: skip
    default_address_pool: Annotated[
        list[str],
        typer.Option("--default-address-pool", metavar="base=PREFIX,size=N",
                     help="Addresses to cut networks from"),
    ] = field(default_factory=list)  # fmt: skip
    dns: Annotated[
        list[str], typer.Option("--dns", metavar="address", help="Name server to forward to")
    ] = field(default_factory=list)
    ip: Annotated[
        str, typer.Option("--ip", metavar="address", help="Host address of published ports (any)",
                          show_default=False)
    ] = ""  # fmt: skip
    firewall_backend: Annotated[
        str, typer.Option("--firewall-backend", metavar="name",
                          help="iptables or nftables (what the machine has)", show_default=False)
    ] = ""  # fmt: skip
    mtu: Annotated[int | None, typer.Option("--mtu", metavar="octets", help="MTU of networks")] = (
        None
    )
    log_level: Annotated[
        str, typer.Option("-l", "--log-level", metavar="level", help="debug, info, warning, error",
                          show_default=False)
    ] = ""  # fmt: skip
    default_runtime: Annotated[
        str, typer.Option("--default-runtime", metavar="name", help="OCI runtime: crun, runc",
                          show_default=False)
    ] = ""  # fmt: skip
    group: Annotated[
        str, typer.Option("-G", "--group", metavar="name", help="Group that may use the socket",
                          show_default=False)
    ] = ""  # fmt: skip
    config_file: Annotated[
        str, typer.Option("--config-file", metavar="path", help="Configuration file (TOML)",
                          show_default=False)
    ] = ""  # fmt: skip


@with_options(DaemonOptions)
def daemon(ctx: typer.Context, options: DaemonOptions) -> None:
    """Run the daemon in the foreground.

    Flags win over NETD_* in the environment, these over /etc/netd/netd.toml.

    Example: netd daemon --default-address-pool base=10.0.0.0/8,size=24
    """
    from netd.daemon import run

    raise typer.Exit(run(given(options, str(ctx.meta.get("netd.host", "")))))


def given(options: DaemonOptions, host: str = "") -> Mapping[str, object]:
    """Give only what the command line said; a host named before the command counts, too."""
    said = {name: value for name, value in asdict(options).items() if value not in ("", None, [])}
    values = {name.replace("_", "-"): value for name, value in said.items()}
    return ({"host": host} if host else {}) | values
