"""Ties a program to the life of who starts it, then becomes that program: `tether.py SIGNAL PARENT -- PROGRAM ARGUMENT...`.

Linux sends SIGNAL to the program when PARENT ends, however it ends (PR_SET_PDEATHSIG survives exec). A program of its own rather
than a `preexec_fn`, which would make subprocess fork a process that has gRPC threads. Runs isolated, on
the standard library alone.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    number, parent, separator, *argv = sys.argv[1:]
    assert separator == "--", "usage: tether.py SIGNAL PARENT -- PROGRAM ARGUMENT..."
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0) != 0:
        sys.exit(f"tether: prctl: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != int(parent):
        sys.exit("tether: the parent is gone already")
    try:
        os.execv(argv[0], argv)  # noqa: S606  # the program is named by us
    except OSError as error:
        sys.exit(f"cannot start {argv[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
