"""The error of a request to a server."""


class ServingError(RuntimeError):
    """A request that failed.

    Args:
        code: name of the gRPC status, such as `"INVALID_ARGUMENT"`; REST's statuses are translated.
        message: the server's message, or why it could not be reached.

    Example:

    >>> str(ServingError("UNAVAILABLE", "connection refused"))
    'UNAVAILABLE: connection refused'
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code, self.message = code, message
