"""ACPI for the emulated machines: an AML writer, the tables, power management and CPU hot-plug registers."""
