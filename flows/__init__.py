"""Prefect flows, one a file: what runs after what."""
