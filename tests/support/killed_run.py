"""A process whose children train a daily log and are killed, each further on than the one before.

Called with the folder of the log, the run folder, the folder of versions, and the moments of the kills as
`PART:PERIOD`, in order. Without moments one child trains all.
"""

import os
import signal
import sys
from pathlib import Path

import keras
from support.daily_log import make_trainer
from support.fake_export import fake_export

import grouprank as gr

# What is slow to import is imported once, for all children.
import grouprank.serving.layout.provenance


def train(log, run, export, kill_at):
    gr.serving.export = fake_export

    def kill(part, period):
        if f"{part}:{period}" == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    days = gr.incremental.periods(log)
    make_trainer(run, days, export=export, on_progress=kill).run(days)


def main(log, run, export, *moments):

    # This imports the libraries whose seeds it sets.
    keras.utils.set_random_seed(0)
    for moment in [*moments, None]:
        child = os.fork()
        if child == 0:
            train(Path(log), Path(run), Path(export), moment)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        print(moment, code, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
