"""Thin Prefect tasks: one call into lamps_core, with retries and a name."""
