"""The emulator's plain-Python half: bus, time, interrupts and devices.  Importing it loads nothing else."""
