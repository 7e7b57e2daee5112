"""Self-contained HTML pages of searches, campaigns and evaluations, and their figures."""
