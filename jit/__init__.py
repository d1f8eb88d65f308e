"""The engine: guest bytes to micro-ops to machine code.  Knows CPU state, RAM and MMU; knows no device."""
