"""A daemon on a host of its own (a network namespace), and clients of it."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from docker.client import DockerClient

from labs.host import Host
from labs.outside import Outside
from tests.live.clients import client_of
from tests.rawapi import Api, ApiError

pytestmark = pytest.mark.kernel


@pytest.fixture(scope="module")
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """One daemon for the tests of a module; each removes what it made.

    A module may say the firewall's backend: as an indirect parameter, see `BOTH_BACKENDS`.
    """
    with Host(firewall=getattr(request, "param", "")) as host:
        yield host
    assert host.remains() == []


@pytest.fixture(scope="module")
def outside(host: Host) -> Iterator[Outside]:
    """A machine beside the module's host."""
    with Outside(host) as outside:
        yield outside


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
        with Api(host.socket) as api:
            for each in api.call("GET", "/containers/json?all=1"):
                with suppress(ApiError):  # one that removes itself may be gone
                    api.remove(each["Id"])
            api.call("POST", "/networks/prune")


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


@pytest.fixture
def docker(run_docker: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., str]:
    """Run the real docker command, which is to succeed; return what it printed."""

    def run(*words: str) -> str:
        done = run_docker(*words)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run
