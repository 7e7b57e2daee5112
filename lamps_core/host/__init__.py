"""The machine that LAMPS runs on: its devices, its memory, and what it can reach."""
