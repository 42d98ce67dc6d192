"""A container host in a temporary folder; busybox is in every container."""

import os
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from runtime import cgroups
from runtime.features import HostFeatures, probe
from runtime.monitor import Monitor
from runtime.oci import OciRuntime
from tests.containers import Host


@pytest.fixture(scope="session")
def features() -> HostFeatures:
    if os.geteuid():
        pytest.skip("needs root")
    found = probe()
    for program in (found.conmon, found.runtime()):
        if program.problem:
            pytest.skip(program.problem)
    return found


@pytest.fixture(scope="session")
def busybox(features: HostFeatures) -> Iterator[Path]:
    """A root file system of busybox alone."""
    found = shutil.which("busybox")
    if not found:
        pytest.skip("needs busybox")
    with tempfile.TemporaryDirectory(prefix="netd-busybox-") as name:
        root = Path(name)
        root.chmod(0o755)
        for folder in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
            (root / folder).mkdir()
        shutil.copy(found, root / "bin" / "busybox")
        for applet in (
            "sh", "cat", "true", "false", "echo", "sleep", "head", "tail", "dd", "id", "env",
            "md5sum", "stty", "kill", "mount", "hostname", "grep", "readlink", "ls", "seq", "yes",
            "wc", "test", "touch", "unshare", "nproc",
        ):  # fmt: skip
            (root / "bin" / applet).symlink_to("busybox")
        (root / "etc" / "passwd").write_text("root:x:0:0::/root:/bin/sh\n")
        yield root


@pytest.fixture
async def host(busybox: Path, features: HostFeatures) -> AsyncIterator[Host]:
    with tempfile.TemporaryDirectory(prefix="netd-runtime-") as name:
        folder = Path(name)
        program = features.runtime()
        assert program.path and features.conmon.path
        oci = OciRuntime(program.path, folder / "runtime")
        monitor = Monitor(features.conmon.path, oci, folder / "exits")
        parent = f"/netd-test-{secrets.token_hex(4)}"
        made = Host(folder, busybox, features, oci, monitor, parent)
        try:
            yield made
        finally:
            await made.clear()
            await cgroups.clear(cgroups.folders("", parent, cgroups.mounted()))
