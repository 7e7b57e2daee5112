"""A Prefect server on the loopback address that lives no longer than the command that started it.

Run as `python -m lamps_cli.server_process PORT PARENT`, the process id it must not outlive. Prefect's own
temporary server outlives a killed command and shares its Ctrl-C; this one does neither.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def main() -> None:
    """Serve until the parent is gone."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != int(sys.argv[2]):  # it was gone before the line above
        return
    import uvicorn

    uvicorn.run(
        "prefect.server.api.server:create_app",
        factory=True,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
        lifespan="on",
    )


if __name__ == "__main__":
    main()
