"""The user's terminal: raw while a container has it, its size passed on, signals forwarded."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from netd.cli.errors import CliError

_FORWARDED = (
    signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2,
    signal.SIGALRM,
)  # fmt: skip
_GIVING_UP = 3  # interrupts, when the container does not care


def size() -> tuple[int, int] | None:
    """Give rows and columns of the terminal on standard output or input; None without one."""
    for fd in (1, 0):
        try:
            found = os.get_terminal_size(fd)
        except OSError:
            continue
        return found.lines, found.columns
    return None


def check_terminal(*, tty: bool, stdin: bool) -> None:
    """Refuse `-it` where standard input is no terminal, as docker does."""
    if tty and stdin and not os.isatty(0):
        raise CliError(
            "standard input is no terminal, but -t with -i needs one", "leave out -t: -i alone"
        )


@contextmanager
def raw() -> Iterator[None]:
    """Hand every key to the container; the terminal is put right however this ends."""
    import termios
    import tty

    before = termios.tcgetattr(0)
    # A signal that ends the process must not leave a terminal behind that shows nothing.
    handled = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in handled.items():
        if handler is signal.SIG_DFL:
            signal.signal(number, _exit)
    try:
        tty.setraw(0, termios.TCSANOW)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        for number, handler in handled.items():
            signal.signal(number, handler)


@contextmanager
def resizing(resize: Callable[[int, int], None]) -> Iterator[None]:
    """Pass the terminal's size on, now and whenever it changes."""
    changed = busy = False

    def act(_number: int = 0, _frame: FrameType | None = None) -> None:
        # A signal may come while the size of the one before is on its way; sent from within, the
        # newer size would be overtaken by the older.
        nonlocal changed, busy
        changed = True
        if busy:
            return
        busy = True
        try:
            while changed:
                changed = False
                found = size()
                if found is not None:
                    with suppress(CliError):  # the process ended just now; its stream says so
                        resize(*found)
        finally:
            busy = False

    before = signal.signal(signal.SIGWINCH, act)
    try:
        act()
        yield
    finally:
        signal.signal(signal.SIGWINCH, before)


@contextmanager
def forwarded(send: Callable[[str], object]) -> Iterator[None]:
    """Send signals to the container instead of ending; a third interrupt lets go of it."""
    interrupts = 0

    def act(number: int, _frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += number == signal.SIGINT
        if interrupts >= _GIVING_UP:
            print("\nnetd: let go of the container, which may run on", file=sys.stderr)
            raise KeyboardInterrupt
        with suppress(CliError):  # not running yet or any more: nothing to signal
            send(signal.Signals(number).name.removeprefix("SIG"))

    before = {number: signal.signal(number, act) for number in _FORWARDED}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
