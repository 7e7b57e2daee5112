"""The hub of models and datasets: what is asked of it, fetched from it and published there."""
