"""Training on several devices of one process."""

import os

import keras


def use_devices(number: int) -> None:
    """Let models that are made from now on train on several devices, on JAX.

    Accelerators are used where there are any. On a machine without them, virtual devices share its CPU. They train
    what real ones would train, only not faster. Call it before anything else computes with JAX.

    Args:
        number: number of devices. With 1 nothing changes.

    Raises:
        ValueError: if `number` is below 1, or if there are accelerators, but fewer.
        RuntimeError: on another backend than JAX, or if JAX has already computed something.

    Example:

    >>> use_devices(1)
    """
    if number < 1:
        raise ValueError(f"`number` must be at least 1. Received: number={number}.")
    if number == 1:
        return
    if keras.backend.backend() != "jax":
        raise RuntimeError(
            f"One process trains on several devices with KERAS_BACKEND=jax. Received: {number} devices with "
            f"KERAS_BACKEND={keras.backend.backend()}. With torch there is a process for each device: see torchrun and "
            "docs/distribution.md."
        )
    import jax

    # As many threads as the virtual devices need to wait for each other.
    os.environ.setdefault("PJRT_NPROC", str(2 * number))
    # Has no effect on accelerators. Raises if JAX has begun.
    jax.config.update("jax_num_cpu_devices", number)
    devices = keras.distribution.list_devices()
    if len(devices) < number:
        raise ValueError(f"There are fewer than {number} devices. Found: {devices}.")
    keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices[:number]))
