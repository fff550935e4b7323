"""One function in several processes at once."""

import multiprocessing
import socket


def run_together(function, world_size, *arguments, timeout=300):
    """Calls `function(rank, world_size, *arguments)` in `world_size` processes, and fails where one of them does.

    The processes are forks of a server that has imported the frameworks once and has done nothing else, so that they
    start at once and with no thread of this process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["grouprank", "tensorflow"])
    processes = [
        context.Process(target=function, args=(rank, world_size, *arguments), daemon=True) for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout)
    assert [process.exitcode for process in processes] == [0] * world_size


def free_address():
    """An address on this machine where processes of JAX may meet."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"
