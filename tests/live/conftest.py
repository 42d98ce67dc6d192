"""A daemon on a host of its own (a network namespace), and clients of it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from docker.client import DockerClient

from labs.host import Host
from tests.live.clients import client_of

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """One daemon for the tests of a module; each removes what it made."""
    with Host() as host:
        yield host
    assert host.remains() == []


@pytest.fixture
def own_host() -> Iterator[Host]:
    """A daemon for one test, which may kill it."""
    with Host() as host:
        yield host
    assert host.remains() == []


@pytest.fixture(autouse=True)
def _nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Remove a test's containers and networks from the module's host."""
    yield
    if "host" in request.fixturenames:
        host: Host = request.getfixturevalue("host")
        ids = host.netd("ps", "-aq").split()
        if ids:
            host.netd("rm", "-f", *ids)
        host.netd("network", "prune", "-f")


@pytest.fixture
def client(host: Host) -> Iterator[DockerClient]:
    with client_of(host) as client:
        yield client


@pytest.fixture
def run_docker(host: Host, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the real docker command against the module's host."""
    environment = {
        **os.environ,
        "DOCKER_HOST": f"unix://{host.socket}",
        "DOCKER_CONFIG": str(tmp_path),
    }

    def run(*words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["docker", *words],
            env=environment,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run
