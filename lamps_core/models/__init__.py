"""Candidates: what `--models` names, how large they are, and where they fit."""
