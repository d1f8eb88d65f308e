"""x86 CPU models: what CPUID says, as classes and tables."""

from emu.cpu_models.cpu import Cpu, X86Cpu, model_help, model_names
from emu.cpu_models.cpuid import cpuid
from emu.cpu_models.engine import ENGINE_FEATURES
from emu.cpu_models.option import CpuConfig, CpuOption, Global, parse_cpu_option

__all__ = ["ENGINE_FEATURES", "Cpu", "CpuConfig", "CpuOption", "Global", "X86Cpu", "cpuid", "model_help", "model_names",
           "parse_cpu_option"]  # fmt: skip
