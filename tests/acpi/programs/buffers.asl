// Buffers and the fields that are made in them.
Name (BUFF, Buffer (16) { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xAA, 0xBB, 0xCC, 0xDD, 0xEE, 0xFF })
CreateByteField (BUFF, 1, BF1)
CreateWordField (BUFF, 3, WF3)
CreateDWordField (BUFF, 4, DF4)
CreateQWordField (BUFF, 8, QF8)
CreateBitField (BUFF, 9, BT9)
CreateField (BUFF, 3, 5, FLD1)
CreateField (BUFF, 12, 20, FLD2)
CreateField (BUFF, 4, 100, FLD3)
Method (TRD) { Return (Package () { BF1, WF3, DF4, BT9 }) }
Method (TRD1) { Return (BF1) }
Method (TRD2) { Return (WF3) }
Method (TRD3) { Return (DF4) }
Method (TRD4) { Return (QF8) }
Method (TRD5) { Return (BT9) }
Method (TRD6) { Return (FLD1) }
Method (TRD7) { Return (FLD2) }
Method (TRD8) { Return (FLD3) }
Method (TWR1) { BF1 = 0xA5 Return (BUFF) }
Method (TWR2) { WF3 = 0xA55A Return (BUFF) }
Method (TWR3) { FLD1 = 0xFF Return (BUFF) }
Method (TWR4) { FLD2 = 0x12345 Return (BUFF) }
Method (TWR5) { FLD3 = Buffer () { 1, 2, 3, 4 } Return (BUFF) }
Method (TWR6) { QF8 = 0x0102030405060708 Return (BUFF) }
Method (TWR7) { BT9 = 1 Return (BUFF) }
Method (TWR8) { DF4 = "AB" Return (BUFF) }
Method (TIDX) { Return (DerefOf (BUFF [3])) }
Method (TIDW) { BUFF [3] = 0x1FF Return (BUFF) }
Method (TIDO) { Return (DerefOf (BUFF [16])) }
Method (TSIZ) { Return (SizeOf (BUFF)) }
Method (TDYN) { Local0 = 3 Local1 = Buffer (Local0) { 1 } Return (Local1) }
Method (TEMP) { Local1 = Buffer (2) {} Return (Local1) }
Method (TCPY, 0) { Local0 = BUFF Local0 [0] = 0x77 Return (Local0) }
Method (TCP2, 0) { Local0 = BUFF Local0 [0] = 0x77 Return (BUFF) }
Method (CHG, 1) { Arg0 [2] = 0x99 }
Method (TARG) { CHG (BUFF) Return (BUFF) }
Method (TRES) { Return (ConcatenateResTemplate (ResourceTemplate () { IRQNoFlags () {5} }, ResourceTemplate () { IO (Decode16, 0x10, 0x10, 1, 8) })) }
Method (TLOC)
{
    Local0 = Buffer (8) {}
    CreateDWordField (Local0, 2, DWRD)
    DWRD = 0x11223344
    Return (Local0)
}
Method (TUID) { Return (ToUUID ("33db4d5b-1ff7-401c-9657-7441c03dd766")) }
Method (TNOT) { Local0 = Buffer () { 0x0F } Return (~Local0) }
