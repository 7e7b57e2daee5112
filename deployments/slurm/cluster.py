"""A Dask scheduler here, and Slurm jobs of one worker each that come and go with the campaign's need.

    source deployments/slurm/tls.sh
    python deployments/slurm/cluster.py --max-jobs 8 --directive=--gres=gpu:1 --cores 8 --memory 64GB

Prints the scheduler's address for `lamps campaign --engine dask --scheduler`. Ctrl-C ends the scheduler and its jobs.
"""

from __future__ import annotations

import signal
from typing import Any

import click
from dask_jobqueue import SLURMCluster
from distributed import Adaptive

LOOK_SECONDS = 10
IDLE_LOOKS = 18  # three minutes: a campaign takes a while from its first look to its first step


class AsManyAsUsed(Adaptive):
    """Ask for every job while each worker has a step; let those go that have none.

    Dask's own rule counts the tasks that wait, and a campaign submits no more steps than there are slots.
    """

    async def target(self) -> int:
        """Workers that there should be now."""
        scheduler = self.cluster.scheduler
        clients = [name for name in scheduler.clients if name != "fire-and-forget"]
        if not clients:
            return int(self.minimum)
        busy = sum(bool(worker.processing) for worker in scheduler.workers.values())
        wanted = self.maximum if busy >= len(scheduler.workers) else busy
        return int(min(self.maximum, max(self.minimum, wanted)))


@click.command()
@click.option(
    "--min-jobs", type=click.IntRange(0), default=0, show_default=True, help="Kept without a campaign."
)
@click.option("--max-jobs", type=click.IntRange(1), required=True, help="Jobs at once, at most.")
@click.option(
    "--gpus", type=click.IntRange(1), default=1, show_default=True, help="GPUs that one worker sees."
)
@click.option("--cores", type=click.IntRange(1), default=4, show_default=True, help="CPU cores of a job.")
@click.option("--memory", default="32GB", show_default=True, help="Main memory of a job.")
@click.option("--walltime", default="24:00:00", show_default=True, help="Of a job; another takes its place.")
@click.option("--partition", help="Slurm's.")
@click.option("--account", help="Slurm's.")
@click.option("--directive", multiple=True, help="More for #SBATCH, such as --directive=--gres=gpu:1.")
@click.option("--prologue", multiple=True, help="A shell line before the worker, such as 'module load cuda'.")
@click.option("--host", help="Address of this host that the jobs reach.  [default: found out]")
@click.option("--port", default=8786, show_default=True, help="Of the scheduler.")
@click.option("--log-directory", default="slurm-logs", show_default=True)
@click.option("--insecure", is_flag=True, help="No TLS: only where nobody else is on the network.")
def main(min_jobs: int, max_jobs: int, port: int, insecure: bool, **job: Any) -> None:
    """Run until Ctrl-C."""
    scheduler = {"port": port, "dashboard": False} | ({"host": job["host"]} if job["host"] else {})
    with SLURMCluster(
        queue=job["partition"],
        account=job["account"],
        cores=job["cores"],
        processes=1,
        memory=job["memory"],
        walltime=job["walltime"],
        protocol="tcp://" if insecure else "tls://",
        scheduler_options=scheduler,
        job_extra_directives=list(job["directive"]),
        job_script_prologue=list(job["prologue"]),
        log_directory=job["log_directory"],
        worker_extra_args=[
            *("--resources", f"GPU={job['gpus']}", "--nthreads", str(job["gpus"])),
            *("--memory-limit", "0", "--no-dashboard"),
        ],
    ) as cluster:
        cluster.adapt(
            Adaptive=AsManyAsUsed,
            minimum_jobs=min_jobs,
            maximum_jobs=max_jobs,
            interval=f"{LOOK_SECONDS}s",
            wait_count=IDLE_LOOKS,
        )
        click.echo(cluster.scheduler_address)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            signal.pause()
        except KeyboardInterrupt:
            click.echo("ending the scheduler and its jobs", err=True)


if __name__ == "__main__":
    main()
