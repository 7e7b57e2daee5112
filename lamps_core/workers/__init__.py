"""The processes that run steps: one group a candidate, on the devices of this host."""
