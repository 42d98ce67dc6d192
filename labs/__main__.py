"""Run a lab by its name, or list the labs: `python -m labs [NAME [OPTION...]]`.

A lab is a module `labs.<name>.lab`: `main` runs it, and `OPTIONS`, if it takes any, says which
words each option may have. `main` is handed those that were given.
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    """Run the lab named by the first argument, with its options; return the exit status."""
    labs = {path.parent.name.replace("_", "-"): path for path in FOLDER.glob("*/lab.py")}
    if len(sys.argv) == 1:
        print("Labs, each run with: sudo labs/run NAME (its options: sudo labs/run NAME --help)\n")
        for name in sorted(labs):
            print(f"  {name:<16}{_summary(labs[name])}")
        return 0
    _, name, *words = sys.argv
    if name not in labs:
        print(f"labs: no lab {name!r}; there are: {', '.join(sorted(labs))}", file=sys.stderr)
        return 2
    # A lab that is ended by a signal cleans up as one that is interrupted from the keyboard.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    lab = importlib.import_module(f"labs.{name.replace('-', '_')}.lab")
    options = _options(f"labs/run {name}", _summary(labs[name]), getattr(lab, "OPTIONS", {}), words)
    try:
        return int(lab.main(**options))
    except KeyboardInterrupt:
        return 130


def _options(
    program: str, summary: str, known: Mapping[str, Sequence[str]], words: Sequence[str]
) -> Mapping[str, str]:
    """Return the options that were given; an unknown one, or a wrong value, ends with status 2."""
    parser = argparse.ArgumentParser(program, description=summary, allow_abbrev=False)
    for name, values in known.items():
        parser.add_argument(f"--{name}", choices=values, default=argparse.SUPPRESS)
    return vars(parser.parse_args(words))


def _summary(path: Path) -> str:
    return path.read_text().split('"""')[1].splitlines()[0]


def _interrupt(number: int, frame: object) -> None:
    del frame
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
