// References: RefOf, Index, CondRefOf, arguments by reference, CopyObject.
Name (INT1, 0x11)
Name (STR1, "text")
Name (PKG1, Package () { 1, 2, 3 })
Name (BUF1, Buffer () { 1, 2, 3, 4 })
Method (SET, 2) { Arg0 = Arg1 }
Method (TLOC) { Local0 = 7 SET (RefOf (Local0), 8) Return (Local0) }
Method (TNAM) { SET (RefOf (INT1), 0x22) Return (INT1) }
Method (TVAL) { SET (INT1, 0x33) Return (INT1) }
Method (TPKG) { SET (Index (PKG1, 1), 0x44) Return (PKG1) }
Method (TBUF) { SET (Index (BUF1, 1), 0x44) Return (BUF1) }
Method (TDRF) { Local0 = RefOf (INT1) Return (DerefOf (Local0)) }
Method (TDRS) { Local0 = RefOf (STR1) Return (DerefOf (Local0)) }
Method (TOVR) { Local0 = RefOf (INT1) Local0 = 5 Return (INT1) }
Method (TCON) { Local1 = 0 If (CondRefOf (INT1, Local0)) { Local1 = DerefOf (Local0) } Return (Local1) }
Method (TCNX) { Return (CondRefOf (\NOPE, Local0)) }
Method (TCN1) { Return (CondRefOf (INT1)) }
Method (TIDX) { Local0 = PKG1 [2] Return (DerefOf (Local0)) }
Method (TIDT) { Index (PKG1, 1, Local0) DerefOf (Local0) = 0x55 Return (PKG1) }
Method (TIDW) { Local0 = BUF1 [2] DerefOf (Local0) = 0x66 Return (BUF1) }
Method (TSTR) { Local0 = "\\INT1" Return (DerefOf (Local0)) }
Method (TCPY) { CopyObject (STR1, INT1) Return (INT1) }
Method (TCPP) { CopyObject (PKG1, STR1) Return (STR1) }
Method (TCPM) { Local0 = 3 CopyObject ("x", Local0) Return (Local0) }
Method (ARGR, 1) { Return (DerefOf (Arg0) + 1) }
Method (TARG) { Return (ARGR (RefOf (INT1))) }
Method (SIZE, 1) { Return (SizeOf (Arg0)) }
Method (TSIZ) { Return (SIZE (PKG1) + SIZE (STR1)) }
Method (TSZR) { Return (SIZE (RefOf (STR1))) }
Method (DEEP, 1) { Arg0 [0] = 0x5A }
Method (TDEP) { DEEP (PKG1) Return (PKG1) }
Method (INCR, 1) { Arg0++ Return (Arg0) }
Method (TINC) { Local0 = 5 INCR (Local0) Return (Local0) }
Method (TRET) { Return (RefOf (INT1)) }
Method (TBAD) { Local0 = 5 Return (DerefOf (Local0)) }
Method (NUM) { Return (7) }
Method (TPNO) { PKG1 = NUM () Return (PKG1) }
Method (TSTI) { STR1 = INT1 Return (STR1) }
