"""Clients of a host's daemon."""

from collections.abc import Iterator
from contextlib import contextmanager

import docker
from docker.client import DockerClient

from labs.host import Host


@contextmanager
def client_of(host: Host) -> Iterator[DockerClient]:
    """Yield docker-py's client of a host's daemon."""
    client = docker.DockerClient(base_url=f"unix://{host.socket}", timeout=60)
    try:
        yield client
    finally:
        client.close()
