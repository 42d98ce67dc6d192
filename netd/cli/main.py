"""The console script `netd`: gives the exit status of the one command that was typed."""

import os
import sys

_SIGPIPE_STATUS = 141
_SIGINT_STATUS = 130


def main() -> int:
    """Run the command line and give the exit status."""
    try:
        # Here and not above, so that Ctrl-C in the meantime ends in silence, too.
        from netd.cli.root import status

        code = status(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader went away (| head): the interpreter must not flush into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _SIGPIPE_STATUS
    except KeyboardInterrupt:
        return _SIGINT_STATUS
    return code


if __name__ == "__main__":
    sys.exit(main())
