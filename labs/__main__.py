"""Run a lab by its name, or list the labs: `python -m labs [NAME]`."""

import importlib
import signal
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> int:
    """Run the lab named by the only argument; return the exit status."""
    labs = {path.parent.name.replace("_", "-"): path for path in FOLDER.glob("*/lab.py")}
    if len(sys.argv) != 2:
        print("Labs, each run with: sudo labs/run NAME\n")
        for name in sorted(labs):
            print(f"  {name:<16}{_summary(labs[name])}")
        return 0
    name = sys.argv[1]
    if name not in labs:
        print(f"labs: no lab {name!r}; there are: {', '.join(sorted(labs))}", file=sys.stderr)
        return 2
    # A lab that is ended by a signal cleans up as one that is interrupted from the keyboard.
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    lab = importlib.import_module(f"labs.{name.replace('-', '_')}.lab")
    try:
        return int(lab.main())
    except KeyboardInterrupt:
        return 130


def _summary(path: Path) -> str:
    return path.read_text().split('"""')[1].splitlines()[0]


def _interrupt(number: int, frame: object) -> None:
    del frame
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
