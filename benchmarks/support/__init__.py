"""What every benchmark shares: environments, a process per contender, interleaved rounds, reports.

Light on purpose: modules of contenders import from here in environments that hold neither Keras nor matplotlib.
"""

from .bar_figure import bar_figure
from .contender import Contender
from .line_figure import line_figure
from .machine import Machine, describe_machine
from .make_environment import make_environment
from .measurement import Measurement
from .memory_bandwidth import MemoryBandwidth, measure_memory_bandwidth
from .prepared import Prepared
from .report import Report, Table
from .run_rounds import run_rounds
from .time_ratio import Ratio, time_ratio
from .worker_process import WorkerProcess

__all__ = [
    "Contender",
    "Machine",
    "Measurement",
    "MemoryBandwidth",
    "Prepared",
    "Ratio",
    "Report",
    "Table",
    "WorkerProcess",
    "bar_figure",
    "describe_machine",
    "line_figure",
    "make_environment",
    "measure_memory_bandwidth",
    "run_rounds",
    "time_ratio",
]
