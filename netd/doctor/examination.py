"""Look at everything, once: what `netd doctor` asks for."""

from pathlib import Path

from netd.doctor.findings import Finding, findings, leftovers
from netd.doctor.host import host
from netd.doctor.probes import probed
from runtime.features import probe


def examined(data_root: Path, exec_root: Path, *, daemon_runs: bool) -> list[Finding]:
    """Give all findings; leftovers only where no daemon is there that they belong to."""
    machine = host(data_root, exec_root)
    found = findings(machine, probed(), probe())
    return found if daemon_runs else found + list(leftovers(machine))
