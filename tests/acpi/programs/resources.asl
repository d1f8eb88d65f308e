// Resource descriptors of all kinds, and statements and declarations that few tables have.
Method (TIRQ) { Return (ResourceTemplate () { IRQNoFlags () {3,5} IRQ (Level, ActiveLow, Shared, ) {9} IRQ (Edge, ActiveHigh, Exclusive, ) {} }) }
Method (TDMA) { Return (ResourceTemplate () { DMA (Compatibility, BusMaster, Transfer16, ) {1,3} DMA (TypeF, NotBusMaster, Transfer8, ) {0} FixedDMA (0x12, 0x34, Width32bit, ) }) }
Method (TIO) { Return (ResourceTemplate () { IO (Decode16, 0x60, 0x64, 1, 2) IO (Decode10, 0x3F0, 0x3F0, 0, 6) FixedIO (0x80, 2) }) }
Method (TDEP)
{
    Return (ResourceTemplate ()
    {
        StartDependentFn (1, 2) { IRQNoFlags () {4} IO (Decode16, 0x3F8, 0x3F8, 8, 8) }
        StartDependentFnNoPri () { IRQNoFlags () {3} }
        EndDependentFn ()
    })
}
Method (TVEN) { Return (ResourceTemplate () { VendorShort () {1, 2, 3} VendorLong () {1, 2, 3, 4, 5, 6, 7, 8, 9, 10} }) }
Method (TMEM)
{
    Return (ResourceTemplate ()
    {
        Memory24 (ReadOnly, 0x10, 0x20, 1, 0x10)
        Memory32 (ReadWrite, 0x10000000, 0x1FFFF000, 0x1000, 0x10000)
        Memory32Fixed (ReadOnly, 0xFED00000, 0x400)
    })
}
Method (TSPC)
{
    Return (ResourceTemplate ()
    {
        WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0, 0, 0xFF, 0, 0x100)
        WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange, 0, 0, 0xCF7, 0, 0xCF8)
        DWordIO (ResourceConsumer, MinNotFixed, MaxNotFixed, SubDecode, ISAOnlyRanges, 0, 0, 0xFFFF, 0, 0x10000, , , , TypeTranslation, SparseTranslation)
        QWordIO (ResourceConsumer, MinFixed, MaxFixed, PosDecode, NonISAOnlyRanges, 0, 0, 0xFFFF, 0, 0x10000)
        DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadOnly, 0, 0xA0000, 0xBFFFF, 0, 0x20000)
        QWordMemory (ResourceProducer, SubDecode, MinFixed, MaxFixed, Prefetchable, ReadWrite, 0, 0x100000000, 0x1FFFFFFFF, 0, 0x100000000, , , , AddressRangeReserved, TypeTranslation)
        WordSpace (0xC0, ResourceProducer, PosDecode, MinFixed, MaxFixed, 0x12, 0, 0, 0xFF, 0, 0x100)
    })
}
Method (TINT)
{
    Return (ResourceTemplate ()
    {
        Interrupt (ResourceConsumer, Level, ActiveLow, Shared, , , ) {16, 17, 18}
        Interrupt (ResourceProducer, Edge, ActiveHigh, ExclusiveAndWake, , , ) {9}
    })
}
Method (TREG) { Return (ResourceTemplate () { Register (SystemIO, 8, 0, 0x1234) Register (FFixedHW, 64, 1, 0xABCD, 3) }) }
Method (TUNK) { Return (ResourceTemplate () { GpioInt (Edge, ActiveHigh, Exclusive, PullDown, 0, "\\_SB") {5} }) }
Method (TTXT) { Return ("tab\there, quote \" and backslash \\") }
Event (EVT1)
Mutex (MTX1, 7)
Scope (\_SB)
{
    PowerResource (PWR1, 3, 0x1234) { Method (_STA) { Return (1) } }
    ThermalZone (THM1) { Method (_TMP) { Return (2980) } }
    Processor (CPU0, 1, 0x410, 6) { Name (_UID, 1) }
}
Device (LNK1) { Name (_HID, EisaId ("PNP0C0F")) Name (_CID, Package () { EisaId ("PNP0A03"), "ACPI0001" }) }
OperationRegion (REGN, SystemCMOS, 0, 0x10)
Field (REGN, ByteAcc, NoLock, WriteAsOnes) { A, 3, , 5, AccessAs (WordAcc), B, 16, Offset (8), C, 1 }
OperationRegion (REGE, EmbeddedControl, Zero, 0xFF)
Method (SYNC, 0, Serialized, 3)
{
    Local0 = Acquire (MTX1, 0x10)
    Release (MTX1)
    Signal (EVT1)
    Local1 = Wait (EVT1, 0x10)
    If (Local0 || Local1) { Fatal (1, 2, 3) }
    BreakPoint
    Noop
    Return (0)
}
