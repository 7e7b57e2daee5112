"""Simulated learning curves at the paper's scale."""
