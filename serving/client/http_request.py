"""One HTTP request with a deadline."""

import http.client
import socket
import threading
import time
import urllib.parse

from .serving_error import ServingError


def http_request(url: str, body: bytes | None, timeout: float) -> tuple[int, bytes]:
    """Status and body of an answer that arrives completely within the deadline.

    A socket's own timeout starts again with every byte that arrives, so a timer cuts the connection here.

    Args:
        url: `http://...` or `https://...`.
        body: JSON to post; with `None` the request is a GET.
        timeout: seconds for the whole request.

    Raises:
        ServingError: `DEADLINE_EXCEEDED` when time is up, `UNAVAILABLE` when there is no connection or it breaks.
    """
    deadline, place = time.monotonic() + timeout, urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if place.scheme == "https" else http.client.HTTPConnection
    late = threading.Event()
    try:
        connection = kind(place.hostname or "", place.port, timeout=max(timeout, 1e-3))
        try:
            connection.connect()
            opened = connection.sock

            def cut() -> None:
                late.set()
                try:
                    # By the class of plain sockets, since TLS would first close its session and wait for the answer.
                    socket.socket.shutdown(opened, socket.SHUT_RDWR)
                except OSError:
                    # The other side has closed it already.
                    return

            timer = threading.Timer(max(deadline - time.monotonic(), 0.0), cut)
            timer.daemon = True
            timer.start()
            try:
                method, headers = "GET" if body is None else "POST", {"Content-Type": "application/json"}
                connection.request(method, urllib.parse.urlunsplit(("", "", *place[2:])), body, headers)
                answer = connection.getresponse()
                status, text = answer.status, answer.read()
            finally:
                timer.cancel()
        finally:
            connection.close()
        if late.is_set():
            # A connection that was cut may look like the end of an answer.
            raise TimeoutError
        return status, text
    except (http.client.HTTPException, OSError, ValueError) as error:
        if late.is_set() or isinstance(error, TimeoutError):
            raise ServingError("DEADLINE_EXCEEDED", f"no answer within {timeout:.3g} s") from error
        raise ServingError("UNAVAILABLE", f"the connection failed: {error!r}") from error
