"""The end of one of several processes after an error."""

import os
import sys
from typing import NoReturn

import keras

from .processes import world_size


def end_process(status: int) -> NoReturn:
    """End this process, also where it is one of several of JAX.

    At its usual end a process of JAX waits for the others. After an error they may wait for it in turn.

    Args:
        status: exit status.

    Raises:
        SystemExit: where nothing would wait.

    Example:

    >>> try:
    ...     end_process(1)
    ... except SystemExit as end:
    ...     print(end.code)
    1
    """
    if keras.backend.backend() == "jax" and world_size() > 1:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)
