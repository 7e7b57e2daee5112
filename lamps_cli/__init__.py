"""The command line: parses, shows, and calls one flow or one lamps_core function."""
