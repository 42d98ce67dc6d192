"""The daemon's errors: what went wrong, in the words of a request.

Each carries a sentence that names the thing and the value. `netd.api.errors` alone maps the
classes to HTTP statuses; the comment behind each is the status Docker gives.
"""


class NetdError(Exception):
    """Anything netd refuses or could not do."""


class InvalidError(NetdError):  # 400
    """A request that makes no sense: malformed, contradicting, out of range."""


class NotFoundError(NetdError):  # 404
    """No such container, image, network, exec or path."""


class ConflictError(NetdError):  # 409
    """The thing exists, but its state or name does not allow this now."""


class ForbiddenError(NetdError):  # 403
    """Not allowed for this thing at any time, or while others use it."""


class NotModifiedError(NetdError):  # 304
    """Already so: start of a running container, stop of a stopped one."""


class UnavailableError(NetdError):  # 503
    """This machine lacks what the request needs: a tool, a kernel feature."""


class NotImplementedByDriverError(NetdError):  # 501
    """The chosen driver cannot do this, as Docker's could not either."""


class NotSupportedError(NetdError):  # 501
    """Docker has it, netd has not."""


class InternalError(NetdError):  # 500
    """The kernel, the disk or a tool refused what should have worked."""
