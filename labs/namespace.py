"""A network namespace without a name: one sleeping process holds it, and it goes with that."""

import subprocess
from collections.abc import Sequence
from pathlib import Path


class Namespace:
    """A namespace of its own, with a loopback and nothing else, until it is closed."""

    def __init__(self) -> None:
        self._holder = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "ip link set lo up && echo && exec sleep infinity"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            assert self._holder.stdout is not None
            self._holder.stdout.readline()  # from here on it is in its namespace
        except BaseException:
            self.close()
            raise

    @property
    def path(self) -> Path:
        """Where the namespace can be opened while it is held."""
        return Path(f"/proc/{self._holder.pid}/ns/net")

    @property
    def nsenter(self) -> Sequence[str]:
        """The words that run a program in it."""
        return ("nsenter", f"--net={self.path}")

    def inside(self, *words: str) -> str:
        """Run a program of the machine in it; return its output."""
        return output((*self.nsenter, *words))

    def close(self) -> None:
        """End the process that holds it. Repeatable."""
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout is not None:
            self._holder.stdout.close()


def output(words: Sequence[str]) -> str:
    """Run a program to its end; return what it wrote. CalledProcessError unless it ends well."""
    done = subprocess.run(
        words, check=True, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return done.stdout
