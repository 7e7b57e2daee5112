"""What Prefect's engine keeps of ended tasks while a flow runs: 6 kB a step, which a long flow has no use for."""

from __future__ import annotations

from prefect.context import FlowRunContext


def forget_ended_tasks() -> None:
    """Let go of the states of ended tasks.

    Prefect keeps them, with their results, to say which task fed which; in flows whose tasks feed none.
    """
    context = FlowRunContext.get()
    if context is not None:
        context.run_results.clear()
        context.task_run_assets.clear()
