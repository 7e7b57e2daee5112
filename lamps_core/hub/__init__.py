"""The hub of models and datasets: names, access, and the passage of files either way."""
