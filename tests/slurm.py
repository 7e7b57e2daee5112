"""A real Slurm of one node on this machine: munge, controller and node daemon, with GPUs that are null devices.

Slurm binds its made-up GPUs as it does real ones: a job's `CUDA_VISIBLE_DEVICES` names those that it was given.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.dask_cluster import free_port
from tests.lamps_command import kill_family
from tests.searches import eventually

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

GPUS = 4
PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "squeue", "scancel", "sinfo")


class Slurm:
    """Use as a context manager; `environment` is what its commands need."""

    def __init__(self, folder: Path) -> None:
        missing = [program for program in PROGRAMS if shutil.which(program) is None]
        if missing or os.geteuid() != 0:
            pytest.skip("Slurm is not installed here (apt-get install slurm-wlm munge), or this is not root")
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}

    def __enter__(self) -> Slurm:
        self._write()
        munge = self._folder / "munge"
        self._start(
            "munged", "--foreground", "--force", f"--key-file={munge}/key", f"--socket={munge}/socket",
            f"--pid-file={munge}/pid", f"--log-file={munge}/log", f"--seed-file={munge}/seed",
        )  # fmt: skip
        eventually((munge / "socket").exists, what="munge's start")
        self._start("slurmctld", "-D")
        self._start("slurmd", "-D")
        eventually(lambda: self.run("sinfo", "-h", "-o", "%T").strip() == "idle", what="Slurm's start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run("scancel", "--state=PENDING")
        self.run("scancel", "--signal=KILL", "--full", "--state=RUNNING")
        eventually(lambda: not self.jobs(), what="the end of the jobs")
        for process in reversed(self._processes):
            kill_family(process.pid)
            process.wait()

    def run(self, program: str, *arguments: str) -> str:
        """What a command prints; none where it failed."""
        ran = subprocess.run(
            [program, *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.stdout

    def submit(self, *arguments: str, cwd: Path, environment: dict[str, str]) -> str:
        """`sbatch`; the job's number."""
        ran = subprocess.run(
            ["sbatch", "--parsable", *arguments],
            cwd=cwd, env=environment | self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        return ran.stdout.strip()

    def jobs(self) -> list[str]:
        """Those that wait or run."""
        return self.run("squeue", "-h", "-o", "%A").split()

    def running(self) -> list[str]:
        return self.run("squeue", "-h", "-o", "%A", "-t", "RUNNING").split()

    def state(self, job: str) -> str:
        """As Slurm tells it, a while after the end too: COMPLETED, CANCELLED, FAILED, ..."""
        told = self.run("scontrol", "-o", "show", "job", job)
        return told.partition("JobState=")[2].partition(" ")[0]

    def kill(self, job: str) -> None:
        """SIGKILL to every process of a job."""
        self.run("scancel", "--signal=KILL", "--full", job)

    def _start(self, *command: str) -> None:
        with (self._folder / f"{command[0]}.out").open("ab") as log:
            self._processes.append(
                subprocess.Popen(
                    command,
                    env=os.environ | self.environment,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def _write(self) -> None:
        folder, host = self._folder, socket.gethostname()
        for name in ("munge", "state", "spool"):
            (folder / name).mkdir()
        (folder / "munge" / "key").write_bytes(os.urandom(1024))
        (folder / "munge" / "key").chmod(0o600)
        for number in range(GPUS):
            os.mknod(folder / f"gpu{number}", 0o666 | 0o020000, os.makedev(1, 3))
        (folder / "gres.conf").write_text(
            f"AutoDetect=off\nName=gpu Flags=nvidia_gpu_env File={folder}/gpu[0-{GPUS - 1}]\n"
        )
        (folder / "slurm.conf").write_text(
            f"""ClusterName=test
SlurmctldHost={host}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={free_port()}
SlurmdPort={free_port()}
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
ReturnToService=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs=16 RealMemory=8000 Gres=gpu:{GPUS} State=UNKNOWN
PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
        )
