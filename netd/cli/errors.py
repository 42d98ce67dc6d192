"""What a command reports instead of a result: a sentence, a hint, an exit status."""


class CliError(Exception):
    """A command could not do what was asked."""

    def __init__(self, message: str, hint: str = "", exit_code: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.exit_code = exit_code


class UnreachableError(CliError):
    """No daemon answers at the socket, or none that may be talked to."""


class DaemonError(CliError):
    """The daemon refused a request; the sentence is its own."""

    def __init__(self, status: int, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.status = status


class ReportedError(CliError):
    """Everything was said on standard error already; only the exit status is left."""

    def __init__(self, exit_code: int = 1) -> None:
        super().__init__("", exit_code=exit_code)
