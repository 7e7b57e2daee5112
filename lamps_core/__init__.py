"""LAMPS: which pretrained language model should I fine-tune on my dataset?

Everything that can be said without Prefect. Import the modules by name; this file imports nothing heavy.
"""

from __future__ import annotations

__version__ = "0.1.0"
