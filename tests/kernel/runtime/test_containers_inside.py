"""What a container sees from inside: its limits, its mounts, its rights."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import BundleError
from runtime.spec import Limits, Mount, Ulimit
from tests.containers import Host

pytestmark = pytest.mark.kernel


async def output(host: Host, script: str, **settings: Any) -> str:
    container = await host.run("sh", "-c", script, **settings)
    end = await container.ended()
    lines = [line.split(" ", 3)[3] for line in container.logged().splitlines()]
    assert end.code == 0, lines
    return "\n".join(lines)


async def test_surroundings_are_as_in_docker(host: Host) -> None:
    text = await output(
        host, "hostname; id -u; echo $PATH; echo $HOSTNAME; echo $HOME; readlink /proc/self/cwd"
    )

    assert text.splitlines() == [
        "box", "0", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "box", "/root",
        "/",
    ]  # fmt: skip


async def test_the_rights_are_dockers_fourteen_capabilities(host: Host) -> None:
    text = await output(
        host, "grep -E 'Cap(Eff|Bnd|Inh|Amb)|Seccomp:|NoNewPrivs' /proc/self/status"
    )

    assert dict(line.split(":\t") for line in text.splitlines()) == {
        "CapInh": "0" * 16, "CapEff": "00000000a80425fb", "CapBnd": "00000000a80425fb",
        "CapAmb": "0" * 16, "NoNewPrivs": "0", "Seccomp": "2",
    }  # fmt: skip


async def test_others_than_root_have_no_effective_right(host: Host) -> None:
    text = await output(
        host, "id -u; id -G; grep -E 'Cap(Eff|Prm)|NoNewPrivs' /proc/self/status",
        uid=1000, gid=1001, additional_gids=(5,), security_opt=("no-new-privileges",),
    )  # fmt: skip

    assert text.splitlines() == [
        "1000", "1001 5", f"CapPrm:\t{'0' * 16}", f"CapEff:\t{'0' * 16}", "NoNewPrivs:\t1",
    ]  # fmt: skip


async def test_mounting_and_new_namespaces_are_refused(host: Host) -> None:
    script = "mount -t tmpfs x /tmp && echo mounted; unshare -U true && echo unshared; true"

    text = await output(host, script)

    assert "mounted" not in text and "unshared" not in text


async def test_privileged_containers_may_do_more(host: Host) -> None:
    script = "mount -t tmpfs x /tmp && echo mounted; test -w /proc/sys/kernel && echo open; ls /dev"

    text = await output(host, script, privileged=True)

    assert {"mounted", "open", "kmsg"} <= set(text.splitlines()) or not Path("/dev/kmsg").exists()


async def test_masked_files_are_empty_and_settings_read_only(host: Host) -> None:
    script = (
        "wc -c < /proc/keys; { echo 1 > /proc/sys/kernel/msgmax; } 2>&1; touch /sys/x 2>&1; true"
    )

    text = await output(host, script)

    assert text.splitlines()[0] == "0"
    assert text.count("Read-only file system") == 2


async def test_limits_reach_the_cgroup(host: Host) -> None:
    if not {"cpu", "memory", "pids"} <= host.features.controllers:
        pytest.skip("this host cannot limit containers")
    container = await host.run(
        "sleep", "1000", limits=Limits(memory=64 << 20, nano_cpus=500_000_000, pids_limit=50)
    )
    files = {path.name: path for folder in container.cgroups for path in folder.glob("*.*")}

    def value(*names: str) -> str:
        return next(files[name].read_text().strip() for name in names if name in files)

    assert value("memory.limit_in_bytes", "memory.max") == str(64 << 20)
    assert value("cpu.cfs_quota_us", "cpu.max").split()[0] == "50000"
    assert value("pids.max") == "50"


async def test_binds_and_tmpfs_are_mounted_with_their_options(host: Host) -> None:
    shared = host.folder / "shared"
    shared.mkdir()
    (shared / "file").write_text("from outside\n")

    text = await output(
        host,
        "cat /mnt/ro/file; touch /mnt/ro/x 2>&1; touch /mnt/rw/new; dd if=/dev/zero of=/scratch/x "
        "bs=1M count=9 2>&1 | grep -o 'No space left'; grep scratch /proc/mounts",
        mounts=(
            Mount("bind", "/mnt/ro", str(shared), read_only=True),
            Mount("bind", "/mnt/rw", str(shared)),
            Mount("tmpfs", "/scratch", options=("size=4m", "exec")),
        ),
        rootfs=writable_copy(host),
    )  # fmt: skip

    assert text.splitlines()[0] == "from outside"
    assert "Read-only file system" in text and "No space left" in text
    assert "size=4096k" in text and "noexec" not in text
    assert (shared / "new").exists()


async def test_a_read_only_root_stays_usable(host: Host) -> None:
    text = await output(host, "touch /x 2>&1; touch /dev/shm/x && echo shm", read_only_rootfs=True)

    assert "Read-only file system" in text and "shm" in text.splitlines()


async def test_shared_memory_has_its_size(host: Host) -> None:
    assert "size=8192k" in await output(host, "grep /dev/shm /proc/mounts", shm_size=8 << 20)


async def test_an_init_is_the_first_process(host: Host) -> None:
    if not host.features.init:
        pytest.skip("no init on this host")

    text = await output(host, "cat /proc/1/comm; echo $$", init=True)

    assert text.splitlines()[0] in {"init", "catatonit", "tini"}
    assert text.splitlines()[1] != "1"


async def test_ulimits_are_set_as_far_as_the_host_may(host: Host) -> None:
    text = await output(
        host, "ulimit -n; ulimit -Hc",
        ulimits=(Ulimit("nofile", 100, 200), Ulimit("core", 0, 0), Ulimit("nice", 40, 40)),
    )  # fmt: skip

    assert text.splitlines() == ["100", "0"]


async def test_kernel_settings_of_the_container_are_set(host: Host) -> None:
    outside = Path("/proc/sys/net/ipv4/ip_default_ttl").read_text()
    holder = await asyncio.create_subprocess_exec("unshare", "--net", "--ipc", "sleep", "1000")
    try:
        path = Path(f"/proc/{holder.pid}/ns/net")
        while path.readlink() == Path("/proc/self/ns/net").readlink():
            await asyncio.sleep(0.005)
        text = await output(
            host, "cat /proc/sys/kernel/msgmax /proc/sys/net/ipv4/ip_default_ttl",
            sysctls={"kernel.msgmax": "65000", "net.ipv4.ip_default_ttl": "77"}, network=path,
        )  # fmt: skip
        assert text.splitlines() == ["65000", "77"]
        assert Path("/proc/sys/net/ipv4/ip_default_ttl").read_text() == outside
    finally:
        holder.kill()
        await holder.wait()


async def test_domain_names_are_set(host: Host) -> None:
    text = await output(host, "cat /proc/sys/kernel/domainname", domainname="example.org")

    assert text == "example.org"


async def test_an_unknown_capability_is_refused_before_anything_happens(host: Host) -> None:
    with pytest.raises(BundleError, match="invalid CapAdd"):
        await host.create("true", cap_add=("NOSUCH",))


def writable_copy(host: Host) -> Path:
    """Return a root file system of its own: mount points are made in it."""
    copy = host.folder / "copy"
    shutil.copytree(host.rootfs, copy, symlinks=True)
    return copy
