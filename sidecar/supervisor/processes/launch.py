"""Runs a program that dies with its parent: `python -I -S launch.py SIGNAL PARENT_PID PROGRAM ARGS...`

A separate file, run by a fresh interpreter, because the request must be made between fork and exec, where Python
code (`preexec_fn`) can deadlock if the parent has threads. The kernel keeps the setting across exec. Imports nothing
of the project: 15 ms instead of 300.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main() -> None:
    signal_number, parent, program, *args = sys.argv[1:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0) != 0:
        sys.exit("cannot ask for a parent-death signal")
    if os.getppid() != int(parent):  # the parent died before the request
        sys.exit(1)
    os.execvp(program, [program, *args])


if __name__ == "__main__":
    main()
