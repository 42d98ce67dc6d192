"""How a lab goes: its host is there while it is shown, and nothing of it afterwards."""

import shlex
import subprocess
import sys
from collections.abc import Callable

from labs.host import Host, LabError
from labs.narrator import Narrator


def played(host: Host, tell: Narrator, lab: Callable[[], None], verdict: str) -> int:
    """Run a lab on a host; say how it ended, and return the exit status.

    The verdict is said if every step did what it shows, and nothing is left behind.
    """
    try:
        with host:
            lab()
    except (LabError, subprocess.CalledProcessError) as error:
        print(f"\nThe lab stopped: {_sentence(error)}", file=sys.stderr)
        return 1
    finally:
        left = host.remains()
    if left:
        return 1
    tell.verdict(verdict)
    return 0


def _sentence(error: LabError | subprocess.CalledProcessError) -> str:
    if isinstance(error, LabError):
        return str(error)
    return f"{shlex.join(error.cmd)} ended with {error.returncode}: {error.stderr}"
