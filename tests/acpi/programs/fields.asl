// Fields of regions that read as memory, zero at first.
OperationRegion (RIO, SystemIO, 0xAF00, 0x20)
Field (RIO, ByteAcc, NoLock, Preserve) { B0, 8, B1A, 4, B1B, 4, B2, 16, , 3, B4, 13, BBIG, 96 }
Field (RIO, DWordAcc, NoLock, Preserve) { D0, 32, D4A, 7, D4B, 25 }
Field (RIO, WordAcc, NoLock, WriteAsOnes) { Offset (8), W1, 5, Offset (12), W2, 20 }
Field (RIO, ByteAcc, Lock, WriteAsZeros) { Offset (16), Z1, 3, Z2, 5 }
Field (RIO, AnyAcc, NoLock, Preserve) { Offset (20), A1, 12, A2, 20 }
OperationRegion (RIDX, SystemIO, 0x70, 4)
Field (RIDX, ByteAcc, NoLock, Preserve) { IDX, 8, DAT, 8, BNK, 8 }
IndexField (IDX, DAT, ByteAcc, NoLock, Preserve) { I0, 8, I1, 12, I2, 4 }
OperationRegion (RBNK, SystemIO, 0x80, 8)
BankField (RBNK, BNK, 1, ByteAcc, NoLock, Preserve) { K0, 8, K1, 16 }
BankField (RBNK, BNK, 2, ByteAcc, NoLock, Preserve) { L0, 4, L1, 20 }
Field (RIO, DWordAcc, NoLock, Preserve) { Offset (0x1E), LAST, 16 }
OperationRegion (RMEM, SystemMemory, 0x1000, 0x40)
Field (RMEM, QWordAcc, NoLock, Preserve) { Q0, 64, Q8, 40, Q9, 24, Q16, 128 }
Method (TBYT) { B0 = 0x12 B1A = 0x3 B1B = 0x4 B2 = 0x5678 Return (D0) }
Method (TCRS) { B4 = 0x1234 Return (D4A + (D4B << 8)) }
Method (TBIG) { BBIG = Buffer () { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 } Return (BBIG) }
Method (TSHT) { BBIG = Buffer () { 1, 2, 3 } Return (BBIG) }
Method (TBST) { BBIG = "abc" Return (BBIG) }
Method (TD) { D0 = 0xDEADBEEF Return (B2) }
Method (TD4) { D4A = 0x55 D4B = 0xAAAAAA Return (Package () { D4A, D4B, B4 }) }
Method (TD4X) { D4A = 0x55 D4B = 0xAAAAAA Return (D4A) }
Method (TONE) { W1 = 0 Return (BBIG) }
Method (TON2) { W2 = 0x12345 Return (BBIG) }
Method (TZER) { Z1 = 7 Z2 = 1 Return (Z1) }
Method (TANY) { A1 = 0xABC A2 = 0x12345 Return (A1 + A2) }
Method (TIND) { I0 = 0x11 I1 = 0x222 I2 = 3 Return (I0) }
Method (TIDX) { I1 = 0x222 Return (IDX) }
Method (TBNK) { K0 = 1 L0 = 2 Return (BNK) }
Method (TBN2) { K1 = 0x1234 L1 = 0x56789 Return (K1) }
Method (TOVR) { B0 = 0x1FF Return (B0) }
Method (TLST) { LAST = 0x1234 Return (LAST) }
Method (TSTR) { B2 = "41" Return (B2) }
Method (TMEM) { Q0 = 0x1122334455667788 Q8 = 0xAABBCCDDEE Q9 = 0x123456 Return (Q0) }
Method (TMEB) { Q8 = 0xAABBCCDDEE Q9 = 0x123456 Return (Q9) }
Method (TMB) { Q16 = Buffer () { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 } Return (Q16) }
Method (TDYN, 0, Serialized)
{
    Local0 = 0x200
    OperationRegion (DYN, SystemIO, Local0, 4)
    Field (DYN, ByteAcc, NoLock, Preserve) { DYN0, 8, DYN1, 8 }
    DYN1 = 0x42
    Return (DYN1)
}
