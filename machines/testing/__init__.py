"""Machines in other people's tests: a pytest plugin (plugin.py, entry point `numachine`), and what tests import:

    from machines.testing import points, sweep

    @sweep("when", first="1e6 insns", last="40e6 insns", count=200)
    def test_a_plug_is_never_lost(linux_guest, when): ...
"""

from __future__ import annotations

from machines.testing.sweep import points, sweep

__all__ = ["points", "sweep"]
