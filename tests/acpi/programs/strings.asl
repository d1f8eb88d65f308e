// Strings, and conversions to and from them.
Name (STR1, "Hello")
Name (STR2, "12ab")
Name (INT1, 0xABCD)
Name (BUF1, Buffer () { 0x31, 0x32, 0x00, 0x33 })
Method (TCAT) { Return (Concatenate ("abc", "def")) }
Method (TCTI) { Return (Concatenate ("abc", 0x1F)) }
Method (TCTB) { Return (Concatenate ("abc", Buffer () { 1, 0xFE })) }
Method (TCII) { Return (Concatenate (0x11, 0x22)) }
Method (TCIS) { Return (Concatenate (0x11, "22")) }
Method (TCBS) { Return (Concatenate (Buffer () { 1, 2 }, "xy")) }
Method (TCBI) { Return (Concatenate (Buffer () { 1, 2 }, 0x55)) }
Method (TCBB) { Return (Concatenate (Buffer () { 1, 2 }, Buffer () { 3 })) }
Method (THXS) { Local0 = ToHexString ("xyz") Return (Local0) }
Method (THX) { Local0 = ToHexString (INT1) Return (Local0) }
Method (THXB) { Local0 = ToHexString (BUF1) Return (Local0) }
Method (TDEC) { Local0 = ToDecimalString (INT1) Return (Local0) }
Method (TDCB) { Local0 = ToDecimalString (BUF1) Return (Local0) }
Method (TDCZ) { Local0 = ToDecimalString (Zero) Return (Local0) }
Method (TINT) { Local0 = ToInteger ("0x1Fg") Return (Local0) }
Method (TIND) { Local0 = ToInteger ("123") Return (Local0) }
Method (TINL) { Local0 = ToInteger ("0x12345678") Return (Local0) }
Method (TINB) { Local0 = ToInteger (BUF1) Return (Local0) }
Method (TIM1) { Local0 = 1 + STR2 Return (Local0) }
Method (TIM2) { Local0 = "10" + "20" Return (Local0) }
Method (TIM3) { Local0 = 1 + "zz" Return (Local0) }
Method (TIM4) { Local0 = 1 + BUF1 Return (Local0) }
Method (TIM5) { Local0 = 1 + "0x12" Return (Local0) }
Method (TIM6) { Local0 = 0 + "123456789ABCDEF01" Return (Local0) }
Method (TIM7) { Local0 = 0 + "  12" Return (Local0) }
Method (TBUF) { Local0 = ToBuffer (INT1) Return (Local0) }
Method (TBFS) { Local0 = ToBuffer ("abc") Return (Local0) }
Method (TSTR) { Local0 = ToString (BUF1) Return (Local0) }
Method (TST1) { Local0 = ToString (BUF1, 1) Return (Local0) }
Method (TSTL) { Local0 = ToString (Buffer () { 0x41, 0x42 }, Ones) Return (Local0) }
Method (TMD1) { Local0 = Mid ("abcdef", 2, 3) Return (Local0) }
Method (TMD2) { Local0 = Mid ("abc", 5, 1) Return (Local0) }
Method (TMD3) { Local0 = Mid ("abc", 1, 99) Return (Local0) }
Method (TMD4) { Local0 = Mid (Buffer () { 1, 2, 3, 4 }, 1, 2) Return (Local0) }
Method (TMD5) { Local0 = Mid (Buffer () { 1, 2, 3, 4 }, 9, 2) Return (Local0) }
Method (TSIZ) { Return (SizeOf (STR1)) }
Method (TEQ) { Local0 = "abc" Return (Local0 == "abc") }
Method (TNE) { Local0 = "abc" Return (Local0 == "abd") }
Method (TLT) { Local0 = "abc" Return (Local0 < "abd") }
Method (TGT) { Local0 = "abcd" Return (Local0 > "abc") }
Method (TEQB) { Local0 = Buffer () { 1, 2 } Return (Local0 == Buffer () { 1, 2 }) }
Method (TLTB) { Local0 = Buffer () { 1, 2 } Return (Local0 < Buffer () { 1, 2, 0 }) }
Method (TEQM) { Local0 = 0x12 Return (Local0 == "12") }
Method (TEQS) { Local0 = "0000000000000012" Return (Local0 == 0x12) }
Method (TIDX) { Local0 = "abc" Local1 = DerefOf (Local0 [1]) Return (Local1) }
Method (TIDS) { STR1 [1] = 0x41 Return (STR1) }
Method (TIDL) { Local0 = "abc" Local0 [1] = 0x58 Return (Local0) }
Method (TSTN) { INT1 = "20" Return (INT1) }
Method (TSTS) { STR2 = 0x99 Return (STR2) }
Method (TSSB) { STR2 = Buffer () { 1, 0xAB } Return (STR2) }
Method (TSBS) { BUF1 = "AB" Return (BUF1) }
Method (TSBI) { BUF1 = 0x44332211 Return (BUF1) }
Method (TSBL) { BUF1 = Buffer () { 9, 8, 7, 6, 5, 4, 3 } Return (BUF1) }
Method (TCPY) { CopyObject ("new", INT1) Return (INT1) }
