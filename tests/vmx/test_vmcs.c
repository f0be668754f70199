/* SPDX-License-Identifier: MIT */
/* The VMCS region and the capability MSRs. */
#include "cpu/cpuid.h"
#include "tests/suite.h"
#include "vmx/vmx.h"

static const u32 encodings[] = {
#define FIELD(id, name, encoding, guard) WORKS_##guard ? VMCS_##id : UINT32_MAX,
#include "vmx/vmcs.def"
};

static void model_init(struct cpu_model *m)
{
    struct error err = {{0}};
    ck_assert(cpu_model_init(m, NULL, NULL, &err));
    m->features[FEAT_VMX / 64] |= BIT(FEAT_VMX % 64);
}

START_TEST(fields_do_not_overlap)
{
    struct ram ram;
    struct error err = {{0}};
    ck_assert(ram_init(&ram, MIB, &err));
    struct vmcs v = vmcs_at(&ram, 0x5000);
    for (unsigned k = 0; k < ARRAY_SIZE(encodings); k++)
        if (encodings[k] != UINT32_MAX)
            vmcs_write(&v, (enum vmcs_field)encodings[k], UINT64_C(0x0123456700000000) + k);
    for (unsigned k = 0; k < ARRAY_SIZE(encodings); k++) {
        if (encodings[k] == UINT32_MAX)
            continue;
        u64 want = (UINT64_C(0x0123456700000000) + k) & MASK(vmcs_field_bits(encodings[k]));
        ck_assert_uint_eq(vmcs_read(&v, (enum vmcs_field)encodings[k]), want);
    }
    ck_assert_uint_eq(vmcs_revision(&v), 0);
    vmcs_set_launched(&v, true);
    vmcs_set_abort(&v, 4);
    ck_assert(vmcs_launched(&v));
    vmcs_set_launched(&v, false);
    ck_assert(!vmcs_launched(&v));
    ck_assert_uint_eq(ram.host[0x5004], 4);
    ram_fini(&ram);
}
END_TEST

START_TEST(encodings_are_told_apart)
{
    unsigned fields = 0, high = 0;
    for (u32 e = 0; e < 0x20000; e++) {
        if (vmcs_slot(e) < 0)
            continue;
        if (!(e & 1)) {
            fields++;
            continue;
        }
        high++;
        ck_assert_int_eq(vmcs_slot(e), vmcs_slot(e - 1));
        ck_assert_uint_eq(e >> 13 & 3, 1);
    }
    unsigned want = 0, wide = 0;
    for (unsigned k = 0; k < ARRAY_SIZE(encodings); k++) {
        want += encodings[k] != UINT32_MAX;
        wide += encodings[k] != UINT32_MAX && (encodings[k] >> 13 & 3) == 1;
    }
    ck_assert_uint_eq(fields, want);
    ck_assert_uint_eq(high, wide);
    ck_assert_int_lt(vmcs_slot(0x0002), 0); /* posted interrupts are not built */
    ck_assert_int_lt(vmcs_slot(0xffffffff), 0);
    ck_assert_str_eq(vmcs_field_name(VMCS_GUEST_RIP), "guest_rip");
    ck_assert_str_eq(vmx_reason_name(10), "cpuid");
}
END_TEST

START_TEST(outside_of_ram)
{
    struct ram ram;
    struct error err = {{0}};
    ck_assert(ram_init(&ram, MIB, &err));
    struct vmcs v = vmcs_at(&ram, 0xfee00000);
    vmcs_write(&v, VMCS_GUEST_RIP, 1);
    ck_assert_uint_eq(vmcs_read(&v, VMCS_GUEST_RIP), UINT64_MAX);
    ck_assert_uint_eq(vmcs_read(&v, VMCS_EXIT_REASON), UINT32_MAX);
    ck_assert_uint_eq(vmcs_read(&v, VMCS_GUEST_CS_SELECTOR), UINT16_MAX);
    ck_assert_uint_eq(vmcs_revision(&v), UINT32_MAX);
    ck_assert(!vmcs_launched(&v));
    ram_fini(&ram);
}
END_TEST

/* Each control of a plain MSR is allowed by the TRUE one, which asks for no more; guards hold. */
START_TEST(capabilities_are_consistent)
{
    struct cpu_model m;
    u64 plain, exact;
    model_init(&m);
    for (u32 k = 0; k < 4; k++) {
        ck_assert(vmx_capability(&m, 0x481 + k, &plain));
        ck_assert(vmx_capability(&m, 0x48d + k, &exact));
        ck_assert_uint_eq(plain >> 32, exact >> 32);
        ck_assert_uint_eq((u32)exact & ~(u32)plain, 0);
        ck_assert_uint_eq((u32)plain & ~(u32)(plain >> 32), 0);
    }
    ck_assert(vmx_capability(&m, 0x480, &plain));
    ck_assert_uint_eq((u32)plain, VMCS_REVISION);
    ck_assert_uint_eq(BITS(plain, 44, 32), PAGE_SIZE);
    ck_assert_uint_eq(BITS(plain, 53, 50), 6);
    ck_assert(!vmx_capability(&m, 0x491, &plain));
    ck_assert(!vmx_capability(&m, 0x492, &plain));
    ck_assert(vmx_capability(&m, 0x48a, &plain));
    ck_assert_uint_eq(plain >> 1, vmcs_max_index());
    u64 entry = vmx_control_limits(&m, CLASS_ENTRY, false) >> 32;
    u64 exits = vmx_control_limits(&m, CLASS_EXIT, false) >> 32;
    ck_assert_uint_eq(!(entry & ENTRY_LOAD_PAT), !(exits & EXIT_LOAD_PAT));
    ck_assert_uint_eq(!(entry & ENTRY_LOAD_EFER), !(exits & EXIT_LOAD_EFER));
}
END_TEST

/* What stock hypervisors ask for before they load. */
START_TEST(hypervisors_find_their_controls)
{
    struct cpu_model m;
    model_init(&m);
    u64 pin = vmx_control_limits(&m, CLASS_PIN, false) >> 32;
    u64 primary = vmx_control_limits(&m, CLASS_PRIMARY, false) >> 32;
    u64 exact = vmx_control_limits(&m, CLASS_PRIMARY, true);
    u64 secondary = vmx_control_limits(&m, CLASS_SECONDARY, false);
    u32 want = PRIMARY_HLT | PRIMARY_INVLPG | PRIMARY_MWAIT | PRIMARY_RDPMC | PRIMARY_CR3_LOAD |
               PRIMARY_CR3_STORE | PRIMARY_CR8_LOAD | PRIMARY_CR8_STORE | PRIMARY_MOV_DR |
               PRIMARY_UNCONDITIONAL_IO | PRIMARY_MONITOR | PRIMARY_TSC_OFFSETTING |
               PRIMARY_INTERRUPT_WINDOW;
    ck_assert_uint_eq(pin & 0xff, 0x7f);
    ck_assert_uint_eq(primary & want, want);
    ck_assert_uint_eq((u32)exact & (PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE | PRIMARY_INVLPG), 0);
    ck_assert_uint_eq((u32)secondary, 0);
    want = SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED_GUEST | SECONDARY_PML |
           SECONDARY_VMCS_SHADOWING | SECONDARY_APIC_ACCESS;
    ck_assert_uint_eq(secondary >> 32 & want, want);
    ck_assert(vmx_eptp_valid(&m, 0x1000 | 6 | 3 << 3 | BIT(6)));
    ck_assert(!vmx_eptp_valid(&m, 0x1000 | 6 | 4 << 3));
    ck_assert(!vmx_eptp_valid(&m, 0x1000 | 5 | 3 << 3));
    ck_assert(!vmx_eptp_valid(&m, 0x1000 | 6 | 3 << 3 | BIT(7)));
    ck_assert(!vmx_eptp_valid(&m, BIT(m.phys_bits) | 6 | 3 << 3));
    m.features[FEAT_INVPCID / 64] &= ~BIT(FEAT_INVPCID % 64);
    ck_assert_uint_eq(vmx_control_limits(&m, CLASS_SECONDARY, true) >> 32 & SECONDARY_INVPCID, 0);
}
END_TEST

SUITE_MAIN("vmcs", &fields_do_not_overlap, &encodings_are_told_apart, &outside_of_ram,
           &capabilities_are_consistent, &hypervisors_find_their_controls)
