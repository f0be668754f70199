/* SPDX-License-Identifier: MIT */
/*
 * What the tables of devices/acpi.c can't say: the PCI root with its windows and interrupt wires, the
 * devices of the ISA bus, soft-off. Addresses agree with the headers of devices/.
 */
DefinitionBlock ("", "DSDT", 2, "TSTUDO", "TESTUDO", 1)
{
    Name (\_S5, Package () { 0, 0, 0, 0 })

    /* Of the table that devices/acpi.c makes: where the power management registers are, where PCI
       memory begins, the window above 4 GiB (length 0: none), which serial ports there are. */
    External (\_SB.PMBS, IntObj)
    External (\_SB.PCIB, IntObj)
    External (\_SB.P64B, IntObj)
    External (\_SB.P64L, IntObj)
    External (\_SB.SERL, IntObj)

    /* 0: the 8259 pair, 1: the I/O APIC; the system says which it uses. */
    Name (\PICM, 0)
    Method (\_PIC, 1)
    {
        PICM = Arg0
    }

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, 0)
            Name (_BBN, 0)
            Name (CRSL, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                    0, 0, 0xff, 0, 0x100)
                IO (Decode16, 0xcf8, 0xcf8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0, 0xcf7, 0, 0xcf8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                    0, 0xd00, 0xffff, 0, 0xf300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0xa0000, 0xbffff, 0, 0x20000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0xc0000000, 0xfebfffff, 0, 0x3ec00000, , , LOWW)
            })
            Name (CRSH, ResourceTemplate ()
            {
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                    0, 0x8000000000, 0x80ffffffff, 0, 0x100000000, , , HIGW)
            })
            CreateDWordField (CRSL, LOWW._MIN, LMIN)
            CreateDWordField (CRSL, LOWW._LEN, LLEN)
            CreateQWordField (CRSH, HIGW._MIN, HMIN)
            CreateQWordField (CRSH, HIGW._MAX, HMAX)
            CreateQWordField (CRSH, HIGW._LEN, HLEN)
            Method (_CRS, 0, Serialized)
            {
                LMIN = \_SB.PCIB
                LLEN = 0xfec00000 - \_SB.PCIB
                If (\_SB.P64L == 0)
                {
                    Return (CRSL)
                }
                HMIN = \_SB.P64B
                HLEN = \_SB.P64L
                HMAX = \_SB.P64B + \_SB.P64L - 1
                Return (ConcatenateResTemplate (CRSL, CRSH))
            }

            /* Device d's pin p is on wire (d + p - 1) & 3. */
            Method (_PRT, 0, Serialized)
            {
                Local0 = Package (124) {}
                Local1 = 0
                While (Local1 < 124)
                {
                    Local2 = (Local1 >> 2) + 1
                    Local3 = Local1 & 3
                    Local4 = (Local2 + Local3 + 3) & 3
                    If (PICM)
                    {
                        Local5 = Package () { 0, 0, 0, 0 }
                        Local5[3] = Local4 + 16
                    }
                    ElseIf (Local4 == 0)
                    {
                        Local5 = Package () { 0, 0, LNKA, 0 }
                    }
                    ElseIf (Local4 == 1)
                    {
                        Local5 = Package () { 0, 0, LNKB, 0 }
                    }
                    ElseIf (Local4 == 2)
                    {
                        Local5 = Package () { 0, 0, LNKC, 0 }
                    }
                    Else
                    {
                        Local5 = Package () { 0, 0, LNKD, 0 }
                    }
                    Local5[0] = (Local2 << 16) | 0xffff
                    Local5[1] = Local3
                    Local0[Local1] = Local5
                    Local1++
                }
                Return (Local0)
            }

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 4)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8
                }

                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x70, 0x70, 1, 2)
                        IRQNoFlags () { 8 }
                    })
                }
                Device (TIMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x40, 0x40, 1, 4)
                        IRQNoFlags () { 0 }
                    })
                }
                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x60, 0x60, 1, 1)
                        IO (Decode16, 0x64, 0x64, 1, 1)
                        IRQNoFlags () { 1 }
                    })
                }
                Device (MOUS)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IRQNoFlags () { 12 }
                    })
                }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 1)
                    Method (_STA)
                    {
                        Return (((\_SB.SERL & 1) != 0) & 0xf)
                    }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x3f8, 0x3f8, 1, 8)
                        IRQNoFlags () { 4 }
                    })
                }
                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 2)
                    Method (_STA)
                    {
                        Return (((\_SB.SERL & 2) != 0) & 0xf)
                    }
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x2f8, 0x2f8, 1, 8)
                        IRQNoFlags () { 3 }
                    })
                }
                /* Ports that belong to no driver. */
                Device (SYSR)
                {
                    Name (_HID, EisaId ("PNP0C02"))
                    Name (_UID, 1)
                    Name (PORT, ResourceTemplate ()
                    {
                        IO (Decode16, 0xb2, 0xb2, 1, 2)
                        IO (Decode16, 0xe9, 0xe9, 1, 1)
                        IO (Decode16, 0xf4, 0xf4, 1, 4)
                        IO (Decode16, 0x4d0, 0x4d0, 1, 2)
                        IO (Decode16, 0x600, 0x600, 1, 0x40, PMIO)
                    })
                    CreateWordField (PORT, PMIO._MIN, PMIN)
                    CreateWordField (PORT, PMIO._MAX, PMAX)
                    Method (_CRS, 0, Serialized)
                    {
                        PMIN = \_SB.PMBS
                        PMAX = \_SB.PMBS
                        Return (PORT)
                    }
                }
            }

            Device (FWCF)
            {
                Name (_HID, "QEMU0002")
                Name (_STA, 0xb)
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x510, 0x510, 1, 12)
                })
            }
        }

        /* The links' methods, for the value of a routing register. */
        Method (LSTA, 1)
        {
            If (Arg0 & 0x80)
            {
                Return (0x9)
            }
            Return (0xb)
        }
        Name (LRES, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveLow, Shared, , , IRQS) { 0 }
        })
        CreateDWordField (LRES, IRQS._INT, LINT)
        Method (LCRS, 1, Serialized)
        {
            LINT = Arg0 & 0xf
            If (Arg0 & 0x80)
            {
                LINT = 0
            }
            Return (LRES)
        }
        Name (LPRS, ResourceTemplate ()
        {
            Interrupt (ResourceConsumer, Level, ActiveLow, Shared) { 5, 10, 11 }
        })
        Device (LNKA)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 0)
            Method (_STA)
            {
                Return (LSTA (^^PCI0.ISA.PRQA))
            }
            Method (_DIS)
            {
                ^^PCI0.ISA.PRQA |= 0x80
            }
            Method (_PRS)
            {
                Return (LPRS)
            }
            Method (_CRS)
            {
                Return (LCRS (^^PCI0.ISA.PRQA))
            }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 5, INTR)
                ^^PCI0.ISA.PRQA = INTR
            }
        }
        Device (LNKB)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 1)
            Method (_STA)
            {
                Return (LSTA (^^PCI0.ISA.PRQB))
            }
            Method (_DIS)
            {
                ^^PCI0.ISA.PRQB |= 0x80
            }
            Method (_PRS)
            {
                Return (LPRS)
            }
            Method (_CRS)
            {
                Return (LCRS (^^PCI0.ISA.PRQB))
            }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 5, INTR)
                ^^PCI0.ISA.PRQB = INTR
            }
        }
        Device (LNKC)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 2)
            Method (_STA)
            {
                Return (LSTA (^^PCI0.ISA.PRQC))
            }
            Method (_DIS)
            {
                ^^PCI0.ISA.PRQC |= 0x80
            }
            Method (_PRS)
            {
                Return (LPRS)
            }
            Method (_CRS)
            {
                Return (LCRS (^^PCI0.ISA.PRQC))
            }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 5, INTR)
                ^^PCI0.ISA.PRQC = INTR
            }
        }
        Device (LNKD)
        {
            Name (_HID, EisaId ("PNP0C0F"))
            Name (_UID, 3)
            Method (_STA)
            {
                Return (LSTA (^^PCI0.ISA.PRQD))
            }
            Method (_DIS)
            {
                ^^PCI0.ISA.PRQD |= 0x80
            }
            Method (_PRS)
            {
                Return (LPRS)
            }
            Method (_CRS)
            {
                Return (LCRS (^^PCI0.ISA.PRQD))
            }
            Method (_SRS, 1)
            {
                CreateDWordField (Arg0, 5, INTR)
                ^^PCI0.ISA.PRQD = INTR
            }
        }

        Device (HPET)
        {
            Name (_HID, EisaId ("PNP0103"))
            Name (_CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadOnly, 0xfed00000, 0x400)
            })
        }
    }
}
