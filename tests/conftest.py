"""What all test folders share."""

pytest_plugins = ("tests.acpi.conformance",)
