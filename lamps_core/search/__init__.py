"""The search for the front: Algorithm 1, its record on disk, and its results."""
