"""The server that workers are forked from, itself a fork: it has imported torch before its command began.

The process tree is that of a cold start: the server is a child of the command, and its workers are children of it.
Importing this module loads what such a server preloads, so only the process that is forked from does.
"""

from __future__ import annotations

import multiprocessing.util
import os
import signal
import socket
from multiprocessing import forkserver
from typing import Any

import lamps_core.workers.preload  # noqa: F401


def fork_ahead() -> None:
    """Fork a server that begins when `multiprocessing` starts one: now, while this process has one thread."""
    ours, theirs = socket.socketpair()
    os.set_inheritable(ours.fileno(), False)
    pid = os.fork()
    if pid == 0:
        ours.close()
        _serve(theirs)
    theirs.close()
    start = multiprocessing.util.spawnv_passfds

    def begin(path: Any, arguments: Any, passed: Any) -> int:
        if not any("forkserver" in str(word) for word in arguments):
            return int(start(path, arguments, passed))
        multiprocessing.util.spawnv_passfds = start  # one that takes the place of a dead one starts cold
        socket.send_fds(ours, [b"begin"], list(passed))
        return pid

    multiprocessing.util.spawnv_passfds = begin  # type: ignore[assignment]


def _serve(asked: socket.socket) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # as one that is started begins
    _, (listener, alive), _, _ = socket.recv_fds(asked, 16, 2) if asked.recv(1, socket.MSG_PEEK) else _gone()
    asked.close()
    forkserver.main(listener, alive, [])
    os._exit(0)


def _gone() -> Any:
    os._exit(0)
