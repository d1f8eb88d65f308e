// Statements: branches, loops, calls, recursion, synchronisation.
Mutex (MTX1, 2)
Event (EVT1)
Name (CNT, 0)
Method (FACT, 1, Serialized) { If (Arg0 < 2) { Return (1) } Return (Arg0 * FACT (Arg0 - 1)) }
Method (TFAC) { Return (FACT (6)) }
Method (FIB, 1) { If (Arg0 < 2) { Return (Arg0) } Return (FIB (Arg0 - 1) + FIB (Arg0 - 2)) }
Method (TFIB) { Return (FIB (8)) }
Method (SEL, 1)
{
    Switch (ToInteger (Arg0))
    {
        Case (1) { Return ("one") }
        Case (2) { Return ("two") }
        Default { Return ("many") }
    }
}
Method (TSW1) { Return (SEL (1)) }
Method (TSW2) { Return (SEL (2)) }
Method (TSW3) { Return (SEL (3)) }
Method (TBRK)
{
    Local0 = 0
    Local1 = 0
    While (One)
    {
        Local0++
        If (Local0 == 3) { Continue }
        If (Local0 > 7) { Break }
        Local1 += Local0
    }
    Return (Local1)
}
Method (TNES)
{
    Local2 = 0
    Local0 = 0
    While (Local0 < 4)
    {
        Local1 = 0
        While (One)
        {
            If (Local1 > Local0) { Break }
            Local2++
            Local1++
        }
        Local0++
    }
    Return (Local2)
}
Method (TELS)
{
    Local0 = 2
    If (Local0 == 1) { Return ("a") }
    ElseIf (Local0 == 2) { Return ("b") }
    Else { Return ("c") }
}
Method (TMTX)
{
    Local0 = Acquire (MTX1, 100)
    Local1 = Acquire (MTX1, 0xFFFF)
    Release (MTX1)
    Release (MTX1)
    Return (Local0 + Local1)
}
Method (TREL) { Release (MTX1) Return (1) }
Method (TEVT) { Signal (EVT1) Local0 = Wait (EVT1, 10) Return (Local0) }
Method (TEVW) { Reset (EVT1) Local0 = Wait (EVT1, 1) Return (Local0) }
Method (TSLP) { Sleep (1) Stall (10) Return (5) }
Method (NONE) { CNT++ }
Method (TCAL) { NONE () NONE () Return (CNT) }
Method (TDBG) { Debug = "hello" Return (1) }
Method (ARGS, 7) { Return (Arg0 + Arg1 + Arg2 + Arg3 + Arg4 + Arg5 + Arg6) }
Method (TARG) { Return (ARGS (1, 2, 3, 4, 5, 6, 7)) }
Method (LEAV, 1) { If (Arg0) { Return (1) } }
Method (TNON) { Return (LEAV (1)) }
Method (TNAM, 0, Serialized) { Name (INNR, 5) INNR++ Return (INNR) }
Method (TNM2, 0, Serialized) { Local0 = TNAM () Local1 = TNAM () Return (Local0 + Local1) }
Method (MKME, 0, Serialized) { Method (INNR, 1) { Return (Arg0 + 1) } Return (INNR (4)) }
Method (TMTH) { Return (MKME ()) }
Method (TREV) { Return (ObjectType (\_REV)) }
Method (TOSI) { Return (CondRefOf (\_OSI)) }
Method (TLAT) { Return (LATE (4)) }
Method (LATE, 1) { Return (Arg0 * 2) }
Alias (LATE, ALSO)
Method (TALI) { Return (ALSO (5)) }
Scope (\_SB)
{
    Name (SHAD, 1)
    Device (DEVA)
    {
        Method (LOOK) { Return (SHAD) }
        Device (DEVB)
        {
            Name (SHAD, 2)
            Method (LOOK) { Return (SHAD) }
            Method (UP) { Return (^^^SHAD) }
        }
    }
}
Method (TSCA) { Return (\_SB.DEVA.LOOK ()) }
Method (TSCB) { Return (\_SB.DEVA.DEVB.LOOK ()) }
Method (TUP) { Return (\_SB.DEVA.DEVB.UP ()) }
