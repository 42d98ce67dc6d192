"""The verbs of the control connection, on the records and the open views."""

import logging
import os
import socket
from collections.abc import Callable
from contextlib import ExitStack

from dns import control
from dns.channel import Frame
from dns.control import ControlError, Fields, View
from dns.forward import Forwarder
from dns.records import Records
from dns.view import OpenView

_Verb = Callable[[Fields, Frame], object]

log = logging.getLogger(__name__)


class Verbs:
    """What the server knows and has open, and what may be done to it."""

    def __init__(self, forwarder: Forwarder) -> None:
        self._records = Records()
        self._views: dict[str, OpenView] = {}
        self._forwarder = forwarder
        self._verbs: dict[str, _Verb] = {
            "hello": self._hello,
            "synchronise": self._synchronise,
            "put_network": self._put_network,
            "remove_network": self._remove_network,
            "put_endpoint": self._put_endpoint,
            "remove_endpoint": self._remove_endpoint,
            "put_view": self._put_view,
            "open_view": self._open_view,
            "close_view": self._close_view,
        }

    def perform(self, fields: Fields, frame: Frame) -> object:
        """Do what the request says and return the result; raises ControlError, changing nothing."""
        verb = control.text(fields, "verb")
        if verb not in self._verbs:
            raise ControlError(f"no such verb: {verb!r:.80}")
        return self._verbs[verb](fields, frame)

    def close(self) -> None:
        """Close all views."""
        for view_id in list(self._views):
            self._close(view_id)

    def _hello(self, _fields: Fields, _frame: Frame) -> object:
        return {"version": control.PROTOCOL_VERSION, "pid": os.getpid()}

    def _synchronise(self, fields: Fields, _frame: Frame) -> object:
        snapshot = control.snapshot(control.record(fields.get("snapshot"), "snapshot"))
        self._records.replace(snapshot)
        views = {view.id: view for view in snapshot.views}
        for view_id in self._views.keys() - views.keys():
            self._close(view_id)
        for view_id, open_view in self._views.items():
            open_view.view = views[view_id]
        log.info("took %s endpoints and %s views", len(snapshot.endpoints), len(views))
        return list(self._views)

    def _put_network(self, fields: Fields, _frame: Frame) -> object:
        self._records.put_network(control.network(control.record(fields.get("network"), "network")))
        return None

    def _remove_network(self, fields: Fields, _frame: Frame) -> object:
        self._records.remove_network(control.text(fields, "id"))
        return None

    def _put_endpoint(self, fields: Fields, _frame: Frame) -> object:
        self._records.put_endpoint(
            control.endpoint(control.record(fields.get("endpoint"), "endpoint"))
        )
        return None

    def _remove_endpoint(self, fields: Fields, _frame: Frame) -> object:
        self._records.remove_endpoint(control.text(fields, "id"))
        return None

    def _put_view(self, fields: Fields, _frame: Frame) -> object:
        view = _view(fields)
        if view.id in self._views:  # else its sockets bring it along
            self._views[view.id].view = view
        return None

    def _open_view(self, fields: Fields, frame: Frame) -> object:
        view = _view(fields)
        with ExitStack() as undo:
            datagrams, streams = _sockets(frame, undo)
            self._close(view.id)
            self._views[view.id] = OpenView(
                view, datagrams, streams, self._records, self._forwarder
            )
            undo.pop_all()
        return None

    def _close_view(self, fields: Fields, _frame: Frame) -> object:
        self._close(control.text(fields, "id"))
        return None

    def _close(self, view_id: str) -> None:
        if view_id in self._views:
            self._views.pop(view_id).close()


def _view(fields: Fields) -> View:
    return control.view(control.record(fields.get("view"), "view"))


def _sockets(frame: Frame, undo: ExitStack) -> tuple[socket.socket, socket.socket]:
    sockets = [_socket(descriptor, undo) for descriptor in frame.taken()]
    match sockets:
        case [datagrams, streams] if (
            datagrams.type == socket.SOCK_DGRAM
            and streams.type == socket.SOCK_STREAM
            and streams.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        ):
            return datagrams, streams
    raise ControlError(f"no bound UDP and listening TCP socket, but {sockets!r:.200}")


def _socket(descriptor: int, undo: ExitStack) -> socket.socket:
    try:
        return undo.enter_context(socket.socket(fileno=descriptor))
    except OSError as error:
        os.close(descriptor)
        raise ControlError(f"descriptor {descriptor} is no socket") from error
