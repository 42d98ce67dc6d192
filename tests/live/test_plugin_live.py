"""A network driver of somebody else's, found by its entry point."""

from pathlib import Path

import pytest

from labs.host import Host

pytestmark = pytest.mark.kernel

DRIVER = """
from pathlib import Path

from drivers.bridge import BridgeDriver

SAID = Path(__file__).with_name("said")


class WireDriver(BridgeDriver):
    def problems(self, network):
        colour = network.options.get("colour", "red")
        return [] if colour == "red" else [f"colour must be red: {colour!r}"]

    def create(self, network):
        self.note("create", network)
        super().create(network)

    def remove(self, network):
        self.note("remove", network)
        super().remove(network)

    def join(self, network, endpoint, sandbox):
        self.note("join", network)
        super().join(network, endpoint, sandbox)

    def note(self, verb, network):
        with SAID.open("a") as file:
            print(verb, network.name, file=file)
"""


def test_an_installed_driver_makes_networks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "wire_driver.py").write_text(DRIVER)
    about = tmp_path / "wire-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: wire\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[netd.drivers]\nwire = wire_driver:WireDriver\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with Host() as host:
        refused = host.netd(
            "network", "create", "-d", "wire", "-o", "colour=blue", "x", check=False
        )
        host.netd("network", "create", "-d", "wire", "lab")
        run = ("run", "--network", "lab")
        host.netd(*run, "-d", "--name", "web", "demo", "sleep", "1000")
        assert "1 packets received" in host.netd(*run, "--rm", "demo", "ping", "-c1", "web")
        host.netd("rm", "-f", "web")
        host.netd("network", "rm", "lab")

    assert "colour must be red: 'blue'" in refused
    said = (tmp_path / "said").read_text().split("\n")
    assert said[:2] == ["create lab", "join lab"] and said[-2] == "remove lab"
