"""The machine that a benchmark ran on."""

import dataclasses
import os
import platform
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class Machine:
    """The machine that a benchmark ran on. Made by `describe_machine`.

    Args:
        processor: the CPU's name.
        cores: CPU cores that this process may use.
        memory_bytes: memory of the machine.
        python: version of the interpreter.
        system: the operating system.
        accelerator: name of the first NVIDIA device, `None` without one.
    """

    processor: str
    cores: int
    memory_bytes: int
    python: str
    system: str
    accelerator: str | None

    def to_markdown(self) -> str:
        """One line about the machine."""
        device = self.accelerator or "no accelerator"
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_bytes / 2**30:.0f} GiB, {device}; {self.system}, "
            f"Python {self.python}"
        )


def describe_machine() -> Machine:
    """Describe this machine."""
    return Machine(
        processor=_line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        python=platform.python_version(),
        system=platform.system(),
        accelerator=_accelerator(),
    )


def _line(path: str, key: str) -> str | None:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), None)


def _accelerator() -> str | None:
    folders = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    return _line(str(folders[0]), "Model") if folders else None
