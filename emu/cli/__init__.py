"""Command lines: `numachine` and `numachine-system-x86_64`."""
