"""Independent opinions on what one x86 instruction does: the host CPU, unicorn, and a table of instruction forms."""
