"""A container of the model as what the OCI runtime is to run: pure functions."""

from collections.abc import Mapping
from pathlib import Path

from netd.files import FILES
from netd.model import Config, Container, ExecRequest
from runtime.spec import BundleSpec, ExecSpec, Limits, Mount, Ulimit
from runtime.users import ResolvedUser


def bundle_spec(
    container: Container, user: ResolvedUser, rootfs: Path, folder: Path, network: Path | None
) -> BundleSpec:
    """Return the container, complete: `folder` holds hosts, hostname and resolv.conf."""
    host, config = container.host, container.config
    given = {mount.target for mount in host.mounts}
    own = [
        Mount("bind", f"/etc/{name}", str(folder / name), propagation="rprivate")
        for name in FILES
        if f"/etc/{name}" not in given
    ]
    users = [
        Mount(m.kind, m.target, m.source, m.read_only, m.options, m.propagation)
        for m in host.mounts
    ]
    limits = host.resources
    return BundleSpec(
        id=container.id,
        rootfs=rootfs,
        args=(container.path, *container.args),
        env=environment(config, user),
        cwd=config.working_dir or "/",
        uid=user.uid,
        gid=user.gid,
        additional_gids=user.additional_gids,
        terminal=config.tty,
        console_size=host.console_size,
        hostname=config.hostname if network else "",
        domainname=config.domainname if network else "",
        network=network,
        mounts=(*own, *users),
        shm_size=host.shm_size,
        read_only_rootfs=host.read_only_rootfs,
        privileged=host.privileged,
        init=host.init,
        cap_add=host.cap_add,
        cap_drop=host.cap_drop,
        security_opt=host.security_opt,
        sysctls=host.sysctls,
        limits=Limits(
            memory=limits.memory,
            memory_reservation=limits.memory_reservation,
            memory_swap=limits.memory_swap,
            nano_cpus=limits.nano_cpus,
            cpu_shares=limits.cpu_shares,
            cpu_period=limits.cpu_period,
            cpu_quota=limits.cpu_quota,
            cpuset_cpus=limits.cpuset_cpus,
            cpuset_mems=limits.cpuset_mems,
            pids_limit=limits.pids_limit,
        ),
        ulimits=tuple(Ulimit(each.name, each.soft, each.hard) for each in limits.ulimits),
        oom_score_adj=host.oom_score_adj,
    )


def environment(config: Config, user: ResolvedUser) -> tuple[str, ...]:
    """Return the environment with what Docker adds where it is not set: HOSTNAME, TERM, HOME."""
    added: Mapping[str, str] = {
        "HOSTNAME": config.hostname,
        **({"TERM": "xterm"} if config.tty else {}),
        "HOME": user.home or "/",
    }
    known = {entry.partition("=")[0] for entry in config.env}
    return (
        *config.env,
        *(f"{key}={value}" for key, value in added.items() if key not in known),
    )


def exec_spec(
    request: ExecRequest,
    container: Container,
    user: ResolvedUser,
    console_size: tuple[int, int] | None,
) -> ExecSpec:
    """Return a further process for a container, in its environment."""
    env = [*environment(container.config, user)]
    if request.tty:
        env.append("TERM=xterm")
    return ExecSpec(
        args=request.cmd,
        env=(*env, *request.env),
        cwd=request.working_dir or container.config.working_dir or "/",
        uid=user.uid,
        gid=user.gid,
        additional_gids=user.additional_gids,
        terminal=request.tty,
        console_size=console_size or (0, 0),
        privileged=request.privileged,
    )
