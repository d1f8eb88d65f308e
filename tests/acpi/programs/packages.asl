// Packages, and what Match finds in them.
Name (VAL, 0x77)
Name (PKG1, Package () { 1, "two", Buffer () { 3 }, Package () { 4, 5 }, VAL, DEV1 })
Name (PKG2, Package (6) { 10, 20 })
Name (NUMS, Package () { 5, 10, 15, 20, 10, 5 })
Device (DEV1) { Name (_HID, EisaId ("PNP0C02")) Name (VALU, 3) }
Method (TALL) { Return (PKG1) }
Method (TPAD) { Return (SizeOf (PKG2)) }
Method (TIDX) { Return (DerefOf (PKG1 [1])) }
Method (TNST) { Return (DerefOf (DerefOf (PKG1 [3]) [1])) }
Method (TVAL) { Return (DerefOf (PKG1 [4])) }
Method (TSET) { PKG1 [0] = "changed" Return (DerefOf (PKG1 [0])) }
Method (TSTP) { PKG1 [0] = Package () { 9 } Return (PKG1) }
Method (TOOB) { Return (DerefOf (PKG1 [6])) }
Method (TUNI) { Return (DerefOf (PKG2 [3])) }
Method (TCPY) { Local0 = NUMS Local0 [0] = 99 Return (NUMS) }
Method (TCPL) { Local0 = NUMS Local0 [0] = 99 Return (Local0) }
Method (TVAR) { Local0 = 4 Local1 = Package (Local0) { 1, 2 } Return (SizeOf (Local1)) }
Method (TSUM)
{
    Local0 = 0
    Local1 = 0
    While (Local1 < SizeOf (NUMS))
    {
        Local0 += DerefOf (NUMS [Local1])
        Local1++
    }
    Return (Local0)
}
Method (TM1) { Return (Match (NUMS, MEQ, 10, MTR, 0, 0)) }
Method (TM2) { Return (Match (NUMS, MEQ, 10, MTR, 0, 2)) }
Method (TM3) { Return (Match (NUMS, MGT, 10, MLT, 20, 0)) }
Method (TM4) { Return (Match (NUMS, MGE, 20, MLE, 20, 0)) }
Method (TM5) { Return (Match (NUMS, MEQ, 99, MTR, 0, 0)) }
Method (TM6) { Return (Match (PKG1, MEQ, "two", MTR, 0, 0)) }
Method (TM7) { Return (Match (NUMS, MLT, 6, MTR, 0, 1)) }
Method (TM8) { Return (Match (PKG2, MEQ, 20, MTR, 0, 0)) }
Method (TTY1) { Return (ObjectType (PKG1)) }
Method (TTY2) { Return (ObjectType (DEV1)) }
Method (TTY3) { Return (ObjectType (TTY1)) }
Method (TTY4) { Local0 = "s" Return (ObjectType (Local0)) }
Method (TTY5) { Return (ObjectType (Debug)) }
Method (TTY6) { Return (ObjectType (PKG1 [1])) }
Method (TTY7) { Local0 = RefOf (VAL) Return (ObjectType (Local0)) }
