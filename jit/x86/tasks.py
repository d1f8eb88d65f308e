"""Task switching with 16- and 32-bit task-state segments (SDM vol. 3A ch. 7).

Entry point: task_switch(cpu, selector, reason, code)   reason: Switch; used by far transfers, task gates and IRET
"""
from __future__ import annotations
