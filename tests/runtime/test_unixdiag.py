"""Connections to unix sockets, before and after they are accepted."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.unixdiag import accepted


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        server.bind(str(tmp_path / "s"))
        server.listen(3)
        yield server


def test_a_queued_connection_is_not_accepted_yet(listening: socket.socket) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as client:
        client.connect(listening.getsockname())
        assert not accepted(client)

        other, _ = listening.accept()

        with other:
            assert accepted(client)
        assert accepted(client)


def test_what_is_no_unix_socket_is_taken_as_accepted() -> None:
    with socket.socket() as client:
        assert accepted(client)
