"""Guest memory beyond the fast path: soft-TLB misses, page-crossing accesses, MMIO, stores to pages that hold code.

The fast path (in stencils and regions) compares the page of an access's last byte with a tag of the direct-mapped TLB.
Whatever is special has no tag there and comes here.  Word functions (jit/words.py); guest-neutral: page tables are walked by
the guest ISA's `walk`.
"""
from __future__ import annotations

from jit.codecache import JUMP_TABLE_BYTES, MMU_LIMIT, Cpu, Engine, invalidate
from jit.state import (
    NO_PAGE, PAGE_BITS, PAGE_SIZE, RESTART, TLB_ENTRIES, TLB_ENTRY, TLB_INFO, USED_LIMIT, Call, TlbFlag,
)
from jit.words import Layout, sub_layout, word_function

Range = sub_layout(Engine, "ranges")
TlbEntry = Layout("TlbEntry", TLB_ENTRY)
TlbInfo = Layout("TlbInfo", TLB_INFO)
PAGE_OFFSET = PAGE_SIZE - 1
LINE_BITS = 7                                            # code_lines: one bit for 128 bytes
READ, WRITE, EXECUTE, ROM, GLOBAL = TlbFlag.READ, TlbFlag.WRITE, TlbFlag.EXECUTE, TlbFlag.ROM, TlbFlag.GLOBAL
EXECUTED, WATCHED = TlbFlag.EXECUTED, TlbFlag.WATCHED
PAGE_SHIFT_IN_FLAGS = 8                 # walk_flags from here up: log2 of the size of the guest's page
TLB_TOTAL = MMU_LIMIT * TLB_ENTRIES


@word_function
def set_fault(cpu: Cpu, vector, code, address):
    """Report exception `vector` of the current instruction; the first one counts."""
    if cpu.fault == 0:
        cpu.fault = vector + 1
        cpu.fault_code = code
        cpu.fault_address = address
    return 1


# --- guest-physical to host
@word_function
def find_range(engine: Engine, physical):
    """The RAM or ROM range that holds a physical address: its address, 0 for none."""
    for i in range(engine.range_count):
        if engine.ranges[i].start <= physical and physical < engine.ranges[i].end:
            return engine.ranges[i]
    return 0


@word_function
def physical_host(cpu: Cpu, physical):
    """Host address of a physical address; 0 where no RAM or ROM is."""
    found: Range = find_range(cpu.engine, physical)
    if found == 0:
        return 0
    return found.host + physical - found.start


@word_function
def physical_load(cpu: Cpu, physical, size):
    host = physical_host(cpu, physical)
    if host:
        return host_load(host, size)
    engine: Engine = cpu.engine
    return call5(engine.callback, cpu, Call.MMIO_READ, physical, size, 0)


@word_function
def physical_store(cpu: Cpu, physical, value, size):
    """A store of the MMU itself (A/D bits): never restarts an instruction."""
    engine: Engine = cpu.engine
    found: Range = find_range(engine, physical)
    if found == 0:
        call5(engine.callback, cpu, Call.MMIO_WRITE, physical, size, value)
    elif found.flags & ROM == 0:
        host = found.host + physical - found.start
        ram_written(cpu.engine, host, size)
        host_store(host, value, size)
    return 0


@word_function
def host_load(host, size):
    if size == 8:
        return load64(host)
    if size == 4:
        return load32(host)
    if size == 2:
        return load16(host)
    if size == 1:
        return load8(host)
    value = 0
    for i in range(size):
        value |= load8(host + i) << (i * 8)
    return value


@word_function
def host_store(host, value, size):
    if size == 8:
        store64(host, value)
    elif size == 4:
        store32(host, value)
    elif size == 2:
        store16(host, value)
    elif size == 1:
        store8(host, value)
    else:
        for i in range(size):
            store8(host + i, value >> (i * 8))
    return 0


# --- the soft TLB
@word_function
def tlb_index(address, mmu):
    return mmu * TLB_ENTRIES + ((address >> PAGE_BITS) & (TLB_ENTRIES - 1))


@word_function
def fill(cpu: Cpu, address, access, mmu):
    """Walk the page tables and fill the entry.  Returns 1 after reporting a fault."""
    engine: Engine = cpu.engine
    if call4(engine.walk, cpu, address, access, mmu):
        return 1
    index = tlb_index(address, mmu)
    page = address & ~PAGE_OFFSET
    flags = cpu.walk_flags
    info: TlbInfo = cpu.tlb_info[index]
    executed = info.flags & EXECUTED
    if info.page == NO_PAGE:
        note_used(cpu, index)
    elif info.page != page:
        cpu.code_dropped |= executed
        executed = 0
    if flags >> PAGE_SHIFT_IN_FLAGS > PAGE_BITS:
        note_large(cpu, address, flags >> PAGE_SHIFT_IN_FLAGS)
    info.page = page
    info.physical = cpu.walk_physical
    info.host = 0
    found: Range = find_range(engine, cpu.walk_physical)
    if found:
        info.host = found.host + cpu.walk_physical - found.start
        flags |= found.flags & ROM
    info.flags = flags | executed
    return set_tags(cpu, index)


@word_function
def set_tags(cpu: Cpu, index):
    """Derive an entry's tags, which the fast path compares, from its info."""
    info: TlbInfo = cpu.tlb_info[index]
    entry: TlbEntry = cpu.tlb[index]
    entry.read = NO_PAGE
    entry.write = NO_PAGE
    entry.execute = NO_PAGE
    if info.host:
        entry.addend = info.host - info.page
        if info.flags & EXECUTE:
            entry.execute = info.page
        if info.flags & WATCHED:
            return 0
        if info.flags & READ:
            entry.read = info.page
        if info.flags & WRITE and info.flags & ROM == 0 and code_lines(cpu.engine, info.host) == 0:
            entry.write = info.page
    return 0


@word_function
def code_lines(engine: Engine, host):
    """Which 128-byte lines of the page at a host address hold translated code, one bit each."""
    return load32(engine.code_lines + ((host - engine.ram) >> PAGE_BITS) * 4)


@word_function
def lookup(cpu: Cpu, address, access, mmu):
    """The TLB info of an access within one page, walking if need be.  Returns 0 after reporting a fault."""
    info: TlbInfo = cpu.tlb_info[tlb_index(address, mmu)]
    if info.page == address & ~PAGE_OFFSET and info.flags & access == access:
        return info
    if fill(cpu, address, access, mmu):
        return 0
    return info


@word_function
def note_used(cpu: Cpu, index):
    """An empty entry is being filled."""
    if cpu.tlb_used_count < USED_LIMIT:
        cpu.tlb_used[cpu.tlb_used_count] = index
    if cpu.tlb_used_count <= USED_LIMIT:
        cpu.tlb_used_count += 1
    return 0


@word_function
def note_large(cpu: Cpu, address, shift):
    """An entry is being filled with a piece of a large page of 1 << shift bytes."""
    first = address >> shift << shift
    last = first + (1 << shift) - 1
    if cpu.large_last == 0:
        cpu.large_first = first
        cpu.large_last = last
    if first < cpu.large_first:
        cpu.large_first = first
    if last > cpu.large_last:
        cpu.large_last = last
    return 0


@word_function
def drop_entry(cpu: Cpu, index):
    info: TlbInfo = cpu.tlb_info[index]
    entry: TlbEntry = cpu.tlb[index]
    if info.flags & EXECUTED:
        cpu.code_dropped = 1
    info.page = NO_PAGE
    info.flags = 0
    entry.read = NO_PAGE
    entry.write = NO_PAGE
    entry.execute = NO_PAGE
    return 0


@word_function
def candidates(cpu: Cpu):
    """How many entries a search for filled ones must look at; `candidate` gives their indices."""
    return TLB_TOTAL if cpu.tlb_used_count > USED_LIMIT else cpu.tlb_used_count


@word_function
def candidate(cpu: Cpu, n, total):
    return n if total == TLB_TOTAL else cpu.tlb_used[n]


@word_function
def flush_tlb(cpu: Cpu, keep_global):
    total = candidates(cpu)
    cpu.tlb_used_count = 0
    if keep_global == 0:
        cpu.large_last = 0
    for n in range(total):
        index = candidate(cpu, n, total)
        if cpu.tlb_info[index].page != NO_PAGE:
            if keep_global and cpu.tlb_info[index].flags & GLOBAL:
                note_used(cpu, index)
            else:
                drop_entry(cpu, index)
    return flush_jumps(cpu)


@word_function
def flush_page(cpu: Cpu, address):
    """Forget what the soft TLB holds of the page at `address`: all pieces of a large page."""
    if cpu.large_first <= address and address <= cpu.large_last:
        flush_pieces(cpu, address)
    else:
        for mmu in range(MMU_LIMIT):
            index = tlb_index(address, mmu)
            if cpu.tlb_info[index].page == address & ~PAGE_OFFSET:
                drop_entry(cpu, index)
    return flush_jumps(cpu) if cpu.code_dropped else 0


@word_function
def flush_pieces(cpu: Cpu, address):
    """Drop every entry of a guest page that holds `address`, whatever its size (walk_flags has it)."""
    total = candidates(cpu)
    for n in range(total):
        info: TlbInfo = cpu.tlb_info[candidate(cpu, n, total)]
        shift = info.flags >> PAGE_SHIFT_IN_FLAGS
        if info.page != NO_PAGE and (info.page ^ address) >> (shift if shift > PAGE_BITS else PAGE_BITS) == 0:
            drop_entry(cpu, candidate(cpu, n, total))
    return 0


@word_function
def flush_jumps(cpu: Cpu):
    cpu.code_dropped = 0
    if cpu.jump_used_count > USED_LIMIT:
        memset(cpu.jump, 255, JUMP_TABLE_BYTES)
    else:
        for n in range(cpu.jump_used_count):
            cpu.jump[cpu.jump_used[n]].pc = NO_PAGE
            cpu.jump[cpu.jump_used[n]].mode = NO_PAGE       # NO_PAGE alone is also the last address there is
    cpu.jump_used_count = 0
    return 0


# --- accesses
@word_function
def load_slow(cpu: Cpu, address, size):
    """A load that missed the fast path, under the current privilege; cpu.fault tells whether it failed."""
    return load_as(cpu, address, size, cpu.mmu)


@word_function
def load_for_write(cpu: Cpu, address, size):
    """The load of a read-modify-write: a fault is reported as one of writing."""
    if probe_slow(cpu, address, size):
        return 0
    return load_slow(cpu, address, size)


@word_function
def store_slow(cpu: Cpu, address, value, size):
    return store_as(cpu, address, value, size, cpu.mmu)


@word_function
def load_as(cpu: Cpu, address, size, mmu):
    """1 to 8 bytes at a linear address under MMU index `mmu`."""
    first = PAGE_SIZE - (address & PAGE_OFFSET)
    if first < size:
        low: TlbInfo = lookup(cpu, address, READ, mmu)
        if low == 0:
            return 0
        if lookup(cpu, address + first, READ, mmu) == 0:
            return 0
        return load_as(cpu, address, first, mmu) | load_as(cpu, address + first, size - first, mmu) << (first * 8)
    info: TlbInfo = lookup(cpu, address, READ, mmu)
    if info == 0:
        return 0
    if info.flags & WATCHED:
        watch(cpu, address, size, READ)
    if info.host:
        return host_load(info.host + (address & PAGE_OFFSET), size)
    engine: Engine = cpu.engine
    return call5(engine.callback, cpu, Call.MMIO_READ, info.physical + (address & PAGE_OFFSET), size, 0)


@word_function
def store_as(cpu: Cpu, address, value, size, mmu):
    first = PAGE_SIZE - (address & PAGE_OFFSET)
    if first < size:
        if probe_as(cpu, address, size, mmu):
            return 1
        if drop_code(cpu, address, first, mmu) or drop_code(cpu, address + first, size - first, mmu):
            return 1
        if store_as(cpu, address, value, first, mmu):
            return 1
        return store_as(cpu, address + first, value >> (first * 8), size - first, mmu)
    info: TlbInfo = lookup(cpu, address, WRITE, mmu)
    if info == 0:
        return 1
    if info.flags & WATCHED:
        watch(cpu, address, size, WRITE)
    if info.host == 0:
        engine: Engine = cpu.engine
        call5(engine.callback, cpu, Call.MMIO_WRITE, info.physical + (address & PAGE_OFFSET), size, value)
        return 0
    if info.flags & ROM:
        return 0
    host = info.host + (address & PAGE_OFFSET)
    if code_lines(cpu.engine, host) and code_written(cpu, host, size):
        return 1
    host_store(host, value, size)
    return set_tags(cpu, tlb_index(address, mmu))


@word_function
def watch(cpu: Cpu, address, size, access):
    """An access to a page with breakpoints of the guest: its ISA looks whether it meets one."""
    engine: Engine = cpu.engine
    return call4(engine.watch, cpu, address, size, access)


@word_function
def probe_as(cpu: Cpu, address, size, mmu):
    """Fault now (returning 1) if a store of `size` bytes would."""
    if lookup(cpu, address, WRITE, mmu) == 0:
        return 1
    last = address + size - 1
    if (address ^ last) & ~PAGE_OFFSET and lookup(cpu, last & ~PAGE_OFFSET, WRITE, mmu) == 0:
        return 1
    return 0


@word_function
def probe_slow(cpu: Cpu, address, size):
    return probe_as(cpu, address, size, cpu.mmu)


@word_function
def ram_pointer(cpu: Cpu, address, size, write):
    """Host address of [address, address + size) when that lies in one page which may be accessed in place, else 0.
    Reports faults as an access would."""
    if (address & PAGE_OFFSET) + size > PAGE_SIZE:
        return 0
    info: TlbInfo = lookup(cpu, address, WRITE if write else READ, cpu.mmu)
    if info == 0 or info.host == 0 or info.flags & WATCHED:
        return 0
    if write and (info.flags & ROM or code_lines(cpu.engine, info.host)):
        return 0
    return info.host + (address & PAGE_OFFSET)


# --- stores and translated code
@word_function
def line_mask(host, size):
    """The bits of code_lines that [host, host + size), within one page, touches."""
    first = (host & PAGE_OFFSET) >> LINE_BITS
    last = ((host & PAGE_OFFSET) + size - 1) >> LINE_BITS
    return ((2 << (last - first)) - 1) << first


@word_function
def code_written(cpu: Cpu, host, size):
    """Drop the blocks that a guest store within one page hits.  Returns 1, with cpu.fault = RESTART, when the running block is
    among them and has instructions left: the store has not happened and must run again alone."""
    engine: Engine = cpu.engine
    if code_lines(engine, host) & line_mask(host, size) == 0:
        return 0
    if invalidate(engine, host - engine.ram, size, cpu.where):
        cpu.fault = RESTART
        return 1
    return 0


@word_function
def drop_code(cpu: Cpu, address, size, mmu):
    """code_written for a part of a store, so that both parts happen or none; the page is in the TLB."""
    info: TlbInfo = lookup(cpu, address, WRITE, mmu)
    if info.host == 0 or info.flags & ROM or code_lines(cpu.engine, info.host) == 0:
        return 0
    return code_written(cpu, info.host + (address & PAGE_OFFSET), size)


@word_function
def ram_written(engine: Engine, host, size):
    """Somebody other than a guest instruction writes RAM: devices, loaders, the debugger.  Any size."""
    while size:
        chunk = PAGE_SIZE - (host & PAGE_OFFSET)
        if chunk > size:
            chunk = size
        if code_lines(engine, host):
            invalidate(engine, host - engine.ram, chunk, ~0)
        host += chunk
        size -= chunk
    return 0


@word_function
def protect_code(engine: Engine, host):
    """A page gets its first translated code: its write tags must go from every soft TLB."""
    page = host & ~PAGE_OFFSET
    for i in range(engine.cpu_count):
        cpu: Cpu = engine.cpus[i]
        if cpu:
            total = candidates(cpu)
            for n in range(total):
                index = candidate(cpu, n, total)
                if cpu.tlb_info[index].host == page:
                    cpu.tlb[index].write = NO_PAGE
    return 0
