"""The part of a CPU record that every guest ISA has: budget, pending work, faults, soft TLB, jump cache, host addresses.

A guest's record is one numpy structured dtype that starts with `common_fields()`.  It is the only description of the
layout: Python reads fields of a view, word functions name them, stencils and regions take byte offsets from it.
"""
from __future__ import annotations

from enum import IntEnum, IntFlag

import numpy as np

HELPERS = 768                           # room for host addresses of runtime functions in a CPU record
PAGE_BITS = 12
PAGE_SIZE = 1 << PAGE_BITS
TLB_ENTRIES = 1024                      # per MMU index, direct-mapped by page number
TLB_ENTRY_SIZE = 32
JUMP_ENTRIES = 4096                     # direct-mapped by pc
JUMP_ENTRY_SIZE = 32
USED_LIMIT = 1024
NO_PAGE = (1 << 64) - 1                 # a tag that no page-aligned address equals
STATS = 24                              # counters that compiled code keeps

TLB_ENTRY = np.dtype([
    ("read", "u8"),                     # page address when reads may go straight to RAM, else NO_PAGE
    ("write", "u8"),
    ("execute", "u8"),
    ("addend", "u8"),                   # host address - guest address
])
TLB_INFO = np.dtype([                   # beside the TLB, not on the fast path
    ("page", "u8"),                     # virtual page address, NO_PAGE when the entry is empty
    ("physical", "u8"),                 # physical page address
    ("flags", "u8"),                    # TlbFlag
    ("host", "u8"),                     # host address of the page, 0 when the page is not RAM
])
JUMP_ENTRY = np.dtype([("pc", "u8"), ("mode", "u8"), ("code", "u8"), ("block", "u8")])


class TlbFlag(IntFlag):
    """What the slow path may do through a TLB entry."""

    READ = 1
    WRITE = 2
    EXECUTE = 4
    GLOBAL = 8
    ROM = 16                            # RAM-backed, writes are ignored
    EXECUTED = 32                       # code was fetched through the entry: the jump cache may know its page
    WATCHED = 64                        # the guest has data breakpoints on the page: no tags for reads and writes


class Counter(IntEnum):
    """Elements of `statistics`."""

    REGION_SLICES = 0                   # slices that ended in a region


class Request(IntFlag):
    """Bits of `request`: reasons to leave compiled code at the next block boundary."""

    INTERRUPT = 1                       # an external interrupt is pending (taken when the guest allows it)
    NMI = 2
    SMI = 4
    INIT = 8
    SIPI = 16
    STOP = 32                           # the host wants control
    HALT = 64                           # the vCPU waits


class Exit(IntEnum):
    """Why run() returned."""

    BUDGET = 0                          # the instruction budget is used up, or somebody kicked the vCPU
    REQUEST = 1                         # something in `request` that Python must handle
    HALT = 2                            # HLT, WFI: nothing to do until an interrupt
    PAUSE = 3                           # PAUSE, YIELD: let another vCPU run
    SHUTDOWN = 4                        # triple fault
    ERROR = 5                           # a callback raised; the exception is kept for the caller
    DEBUG = 6                           # breakpoint or single step asked for by the host


class Leave(IntEnum):
    """`leave`: why a block came back to the dispatcher (internal to jit)."""

    NEXT = 0                            # pc is set: find the block there and go on (set before a block is entered)
    LINK = 1                            # the same, and patch the jump at `link`
    FAULT = 2                           # exception `fault_vector` at the instruction `where`
    HEAD = 3                            # a block's entry refused: no budget left, or the block is dead
    EXIT = 4                            # leave run() with `exit_code`


def common_fields(mmu_indices: int) -> list[tuple]:
    """Fields in front of every record.  `mmu_indices`: number of soft TLBs (privilege views of memory)."""
    return [
        ("left", "u8"),                 # signed: instructions until run() returns; blocks subtract their length at entry
        ("reserve", "u8"),              # what the slice has beyond that: a guest must not notice where run() returned
        ("clock", "u8"),                # virtual ns now = clock - left - reserve; when the slice ends
        ("pc", "u8"),                   # guest instruction pointer (x86: the offset in CS), valid outside blocks
        ("mode", "u8"),                 # block mode word: what code is specialised for
        ("mmu", "u8"),                  # current MMU index
        ("fault", "u8"),                # nonzero: the access failed; vector + 1, see set_fault
        ("fault_code", "u8"),           # error code, or NO_ERROR_CODE
        ("fault_address", "u8"),
        ("where", "u8"),                # block << 8 | instruction index, set on slow paths
        ("leave", "u8"),
        ("link", "u8"),                 # host address of the jump to patch; for Leave.HEAD the block, as in `where`
        ("exit_code", "u8"),
        ("walk_physical", "u8"),        # results of the guest's page walk: physical page address and TlbFlag
        ("walk_flags", "u8"),
        ("request", "u8"),
        ("contended", "u8"),            # nonzero: another vCPU could run, so PAUSE, YIELD and WFE end the slice
        ("single", "u8"),               # nonzero: the next block is one instruction long (interrupt shadow, restart, step)
        ("passed", "u8"),               # linear address + 1 of the breakpoint that run() has just reported
        ("index", "u8"),                # vCPU number
        ("engine", "u8"),               # host address of the ENGINE record
        ("helpers", "u8", HELPERS),          # host addresses of runtime functions that stencils call
        ("statistics", "u8", STATS),
        ("tlb", TLB_ENTRY, mmu_indices * TLB_ENTRIES),
        ("tlb_info", TLB_INFO, mmu_indices * TLB_ENTRIES),
        ("jump", JUMP_ENTRY, JUMP_ENTRIES),
        # which entries were filled since the last flush, so that a flush need not look at all; beyond USED_LIMIT, any
        ("tlb_used_count", "u8"), ("tlb_used", "u4", USED_LIMIT),
        ("large_first", "u8"), ("large_last", "u8"),    # all large guest pages with an entry are within; last 0: there are none
        ("jump_used_count", "u8"), ("jump_used", "u4", USED_LIMIT),
        ("code_dropped", "u8"),         # nonzero: an entry that code was fetched through went, the jump cache may be stale
    ]


NO_ERROR_CODE = (1 << 64) - 1
NO_WHERE = (1 << 64) - 1                # `where` outside blocks
RESTART = 0x100                         # value of `fault`: no exception; run this instruction again, alone in its block

MAX_CPUS = 1024
RAM_RANGES = 64
MAX_BREAKPOINTS = 32
RANGE = np.dtype([                      # guest-physical ranges backed by host memory, sorted by start
    ("start", "u8"), ("end", "u8"),     # end is exclusive; both page-aligned
    ("host", "u8"),                     # host address of `start`
    ("flags", "u8"),                    # TlbFlag: READ, WRITE, EXECUTE, ROM
])

CODE_CACHE_FIELDS = [                   # jit/codecache.py, jit/decode.py, jit/emit.py
    ("blocks", "u8"), ("block_count", "u8"), ("block_limit", "u8"),     # BLOCK array; number 0 is not used
    ("buckets", "u8"), ("bucket_mask", "u8"),                           # u32 block numbers, chained by BLOCK.chain
    ("page_blocks", "u8"),              # u32 a RAM page: first block on it, chained by BLOCK.page_next
    ("offsets", "u8"), ("offset_count", "u8"), ("offset_limit", "u8"),  # u8 an instruction: its distance from the block's pc
    ("arena", "u8"), ("arena_next", "u8"), ("arena_end", "u8"), ("arena_start", "u8"),
    ("generation", "u8"),               # counts flushes of the whole cache
    ("templates", "u8"), ("template_count", "u8"),                      # TEMPLATE array
    ("forms", "u8"), ("form_mask", "u8"),                               # FORM hash table: key -> template number
    ("stencil_code", "u8"), ("relocations", "u8"),
    ("work", "u8"),                     # scratch of one translation
    ("decoders", "u8", 4), ("decoded", "u8"), ("decode", "u8"),         # capstone handles, its cs_insn, cs_disasm_iter
    ("fault_stub", "u8"), ("leave_stub", "u8"),                         # host addresses of two fixed pieces of code
    ("constants", "u8"),                # host address of the stencils' read-only data
    ("registers", "u8"), ("traits", "u8"),                              # the front end's tables (jit/x86/decode.py)
    ("form_key", "u8"), ("form_fill", "u8"),                            # its functions: key of a decoded insn; hole values
    ("mode", "u8"),                     # of the block being translated
    ("broken", "u8"),                   # nonzero: Python could not give it a form; the exception is kept for the caller
    ("regions", "u8"), ("region_count", "u8"),                          # REGION array (jit/region.py)
]

class TemplateFlag(IntFlag):
    """What the translator must know about a form."""

    WRITES_FLAGS = 1                    # overwrites all lazy flags (variant 1 does not, where nobody reads them)
    READS_LIVE = 2                      # reads lazy flags in variant 0
    READS_DEAD = 4                      # reads lazy flags in variant 1 too
    FAULTS = 8                          # may fault or leave, so flags must be exact before it
    ENDS = 16                           # ends the block: has its own way on
    LAST = 32                           # ends the block, falls through
    ALONE = 64                          # must be a block's only instruction
    FUSES = 256                         # may become one stencil with a conditional jump right after it
    CONDITIONAL = 512                   # such a jump
    MISSING = 1024                      # an instruction without semantics, which raises an exception instead


VARIANT = np.dtype([                    # one stencil
    ("code", "u8"),                     # offset in stencil_code
    ("length", "u4"),
    ("droppable", "u4"),                # ends in `jmp NEXT`
    ("first", "u4"), ("count", "u4"),   # relocations
])
TEMPLATE = np.dtype([
    ("variants", VARIANT, 2),
    ("flags", "u8"),
    ("exits", "u8", 2),                 # hole numbers of the targets of GOTO0 and GOTO1; 255 for none
])
RELOCATION = np.dtype([("at", "u4"), ("kind", "u2"), ("number", "u2"), ("addend", "u8")])
FORM = np.dtype([("key", "u8"), ("template", "u8")])

BLOCK = np.dtype([
    ("pc", "u8"), ("mode", "u8"),
    ("ram", "u8"),                      # offset of the first byte in the RAM mapping
    ("ram2", "u8"),                     # the same of the second page, for an instruction that crosses; else NO_PAGE
    ("code", "u8"),                     # host address of the entry
    ("cold", "u8"),                     # host address of the way out at the entry (sets pc, leaves); 0 when dead
    ("size", "u4"), ("insns", "u4"),    # guest bytes, instructions
    ("chain", "u4"),                    # next block in the hash bucket
    ("page_next", "u4"), ("page_next2", "u4"),
    ("first_offset", "u4"),             # index into `offsets`
    ("heat", "u8"),                     # entries from the dispatcher and through links that were made
    ("in_region", "u8"),                # nonzero: a member of a region, perhaps of one that is gone
])
REGION_BLOCKS = 32                      # in a region, at most
REGION = np.dtype([                     # several blocks compiled as one, entered through the first one's entry
    ("code", "u8"),                     # host address of the first block's entry, which is patched to jump into the region
    ("original", "u8"),                 # the eight bytes that were there
    ("dead", "u8"),                     # host address of a word that becomes DEAD_BIAS when a member is killed
    ("count", "u8"),                    # of members; 0 when the region is gone
    ("members", "u4", REGION_BLOCKS),   # block numbers
])
DEAD_BIAS = 1 << 62                     # more than any budget
KICK_BIAS = 1 << 60                     # a kick lowers `left` and `clock` by as much
KICKED = (1 << 64) - KICK_BIAS // 2     # where `left` is lower (signed), there was one

ENGINE = np.dtype([                     # one per engine (machine): shared by its vCPUs
    ("callback", "u8"),                 # host address of callback(cpu, Call, a, b, c) -> word
    ("walk", "u8"),                     # the guest ISA's page walk: walk(cpu, address, access, mmu) -> 0, or 1 after set_fault
    ("ranges", RANGE, RAM_RANGES),
    ("range_count", "u8"),
    ("ram", "u8"), ("ram_size", "u8"),  # the host mapping that holds all RAM and ROM
    ("code_lines", "u8"),               # u32 a page of that mapping: which 128-byte lines hold translated code
    ("raise_fault", "u8"),              # the guest ISA's delivery of cpu.fault: raise_fault(cpu) -> 1 on shutdown
    ("before_step", "u8"),              # its work around an instruction that is stepped by the guest: before_step(cpu)
    ("after_step", "u8"),               # -> 1 when it took an exception instead; after_step(cpu) -> 1 on shutdown
    ("watch", "u8"),                    # its look at an access to a WATCHED page: watch(cpu, address, size, access)
    ("python_callback", "u8"),          # what `callback` guards: the ctypes callback
    ("enter", "u8"),                    # host address of enter(cpu, code): from the C convention into blocks
    ("cpus", "u8", MAX_CPUS),           # records of all vCPUs, for TLB and jump-cache maintenance; 0 = free
    ("cpu_count", "u8"),
    ("breakpoints", "u8", MAX_BREAKPOINTS), ("breakpoint_count", "u8"),     # linear addresses
    *CODE_CACHE_FIELDS,
    ("trace", "u8"),                    # Trace: what is reported through Call.TRACE
])


class Trace(IntFlag):
    """What compiled code tells Python about, and how it runs meanwhile; 0 when nobody watches."""

    EVENT = 1                           # exceptions and interrupts, before they are delivered
    TRANSLATED = 2                      # every new block
    MISSING = 4                         # every new block that ends in an instruction without semantics
    ENTERED = 8                         # blocks, when the dispatcher enters them
    UNCHAINED = 16                      # no links, jump cache or regions, so that it enters them all


class Call(IntEnum):
    """What compiled code asks Python for through the callback."""

    MMIO_READ = 0                       # a = physical address, b = size in bytes
    MMIO_WRITE = 1                      # a = physical address, b = size, c = value
    PORT_READ = 2                       # a = port, b = size
    PORT_WRITE = 3                      # a = port, b = size, c = value
    SYSTEM = 4                          # a = the guest ISA's own operation number, b, c = its arguments
    NEW_FORM = 5                        # the translator met a form without a template: a = host address of the bytes, b = count
    NEW_PAIR = 6                        # the same for an instruction and the conditional jump after it, as one form
    TRACE = 7                           # a = a Trace bit, b = block number; for EVENT b = vector | kind << 8, c = error code
