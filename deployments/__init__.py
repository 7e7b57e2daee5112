"""How the flows are scheduled and watched on a Prefect server, with `prefect.yaml`."""
