"""Scripts that print a ratio against a baseline, measured in one run. See README.md beside this file."""
