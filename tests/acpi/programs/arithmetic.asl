// Integers.  Every method T... is evaluated by ACPICA and by ours.
Name (ONE1, 1)
Name (BIG, 0xFEDCBA9876543210)
Method (SUM, 2) { Return (Arg0 + Arg1) }
Method (TSUM) { Return (SUM (0xFFFFFFFF, 1)) }
Method (TSU2) { Return (SUM (BIG, BIG)) }
Method (TSUB) { Local0 = BIG Local1 = 0x13 Local2 = Local0 - Local1 Return (Local2) }
Method (TNEG) { Local0 = BIG Local1 = 0x13 Local2 = Local1 - Local0 Return (Local2) }
Method (TMUL) { Local0 = BIG Local1 = 0x13 Local2 = Local0 * Local1 Return (Local2) }
Method (TQUO) { Local0 = BIG Local1 = 0x13 Local2 = Local0 / Local1 Return (Local2) }
Method (TREM) { Local0 = BIG Local1 = 0x13 Local2 = Local0 % Local1 Return (Local2) }
Method (TSL4) { Local0 = BIG Local1 = 0x13 Local2 = Local0 << 4 Return (Local2) }
Method (TSR4) { Local0 = BIG Local1 = 0x13 Local2 = Local0 >> 4 Return (Local2) }
Method (TAND) { Local0 = BIG Local1 = 0x13 Local2 = Local0 & Local1 Return (Local2) }
Method (TOR) { Local0 = BIG Local1 = 0x13 Local2 = Local0 | Local1 Return (Local2) }
Method (TXOR) { Local0 = BIG Local1 = 0x13 Local2 = Local0 ^ Local1 Return (Local2) }
Method (TNOT) { Local0 = BIG Local1 = 0x13 Local2 = ~Local0 Return (Local2) }
Method (TNAN) { Local0 = BIG Local1 = 0x13 Local2 = NAnd (Local0, Local1) Return (Local2) }
Method (TNOR) { Local0 = BIG Local1 = 0x13 Local2 = NOr (Local0, Local1) Return (Local2) }
Method (TFSL) { Local0 = BIG Local1 = 0x13 Local2 = FindSetLeftBit (Local0) Return (Local2) }
Method (TFSR) { Local0 = BIG Local1 = 0x13 Local2 = FindSetRightBit (Local0) Return (Local2) }
Method (TFZL) { Local0 = BIG Local1 = 0x13 Local2 = FindSetLeftBit (Zero) Return (Local2) }
Method (TFZR) { Local0 = BIG Local1 = 0x13 Local2 = FindSetRightBit (Zero) Return (Local2) }
Method (TFBC) { Local0 = BIG Local1 = 0x13 Local2 = FromBCD (0x19283746) Return (Local2) }
Method (TTBC) { Local0 = BIG Local1 = 0x13 Local2 = ToBCD (12345678) Return (Local2) }
Method (TS31) { Local0 = BIG Local1 = 0x13 Local2 = (Local1 << 31) Return (Local2) }
Method (TS63) { Local0 = BIG Local1 = 0x13 Local2 = (Local1 << 63) Return (Local2) }
Method (TR63) { Local0 = BIG Local1 = 0x13 Local2 = (Local0 >> 63) Return (Local2) }
Method (TDV1) { Divide (BIG, 0x13, Local3, Local4) Return (Local3) }
Method (TDV2) { Divide (BIG, 0x13, Local3, Local4) Return (Local4) }
Method (TSHL) { Local0 = 1 Local1 = 40 Return (Local0 << Local1) }
Method (TSHR) { Local0 = Ones Local1 = 40 Return (Local0 >> Local1) }
Method (TINC) { Local0 = Ones Local0++ Return (Local0) }
Method (TDEC) { Local0 = Zero Local0-- Return (Local0) }
Method (TONE) { Return (Package () { Zero, One, Ones }) }
Method (TLOG, 0, Serialized)
{
    Name (RES, Package (12) {})
    Local0 = 5
    Local1 = 6
    RES [0] = Local0 && Local1
    RES [1] = Local0 && Zero
    RES [2] = Zero || Zero
    RES [3] = Zero || Local1
    RES [4] = !Local0
    RES [5] = !Zero
    RES [6] = Local0 == Local1
    RES [7] = Local0 != Local1
    RES [8] = Local0 < Local1
    RES [9] = Local0 > Local1
    RES [10] = Local0 <= Local1
    RES [11] = Local0 >= Local1
    Return (RES)
}
Method (TDIV) { Local0 = 5 Local1 = 0 Return (Local0 / Local1) }
Method (TMOD) { Local0 = 5 Local1 = 0 Return (Local0 % Local1) }
Method (TBCD) { Return (FromBCD (0x1A)) }
Method (TTOB) { Return (ToBCD (100000000)) }
Method (TBIG) { Return (BIG) }
Method (TSTO) { ONE1 = BIG Return (ONE1) }
