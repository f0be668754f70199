/* SPDX-License-Identifier: MIT */
/* The VMX instructions, and the numbers that go with them. */
#ifndef GUESTS_TURTLE_VMX_H
#define GUESTS_TURTLE_VMX_H

#include "base/types.h"

enum vmcs_field {
#define FIELD(id, name, encoding, guard) VMCS_##id = (encoding),
#include "vmx/vmcs.def"
};

enum exit_reason {
#define EXIT(id, name, number) EXIT_##id = (number),
#include "vmx/exits.def"
};
#define EXIT_REASONS 80
#define ENTRY_FAILURE BIT32(31) /* of the exit reason */

/* Controls, as far as turtle knows them */
#define PRIMARY_HLT BIT32(7)
#define PRIMARY_INVLPG BIT32(9)
#define PRIMARY_CR3_LOAD BIT32(15)
#define PRIMARY_CR3_STORE BIT32(16)
#define PRIMARY_UNCONDITIONAL_IO BIT32(24)
#define PRIMARY_MSR_BITMAPS BIT32(28)
#define PRIMARY_SECONDARY BIT32(31)
#define SECONDARY_EPT BIT32(1)
#define SECONDARY_VPID BIT32(5)
#define SECONDARY_SHADOWING BIT32(14)
#define EXITS_HOST_64 BIT32(9)
#define ENTRY_IA32E BIT32(9)

#define INTR_VALID BIT32(31)
#define INTR_HAS_ERROR BIT32(11)
#define INTR_HARD_EXCEPTION (UINT32_C(3) << 8)

/* SDM "VM Instruction Error Numbers" */
enum {
    ERR_VMCALL_IN_ROOT = 1,
    ERR_VMCLEAR_ADDRESS = 2,
    ERR_VMCLEAR_VMXON = 3,
    ERR_LAUNCH_NOT_CLEAR = 4,
    ERR_RESUME_NOT_LAUNCHED = 5,
    ERR_CONTROLS = 7,
    ERR_HOST_STATE = 8,
    ERR_VMPTRLD_ADDRESS = 9,
    ERR_VMPTRLD_VMXON = 10,
    ERR_VMPTRLD_REVISION = 11,
    ERR_NO_FIELD = 12,
    ERR_VMXON_IN_ROOT = 15,
    ERR_INVALIDATION = 28
};

enum {
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_VMX_BASIC = 0x480,
    MSR_VMX_MISC = 0x485,
    MSR_VMX_VMCS_ENUM = 0x48a,
    MSR_VMX_PROCBASED2 = 0x48b,
    MSR_VMX_EPT_VPID = 0x48c,
    MSR_VMX_TRUE_PINBASED,
    MSR_VMX_TRUE_PROCBASED,
    MSR_VMX_TRUE_EXIT,
    MSR_VMX_TRUE_ENTRY,
    MSR_VMX_LAST = 0x490
};
#define MSR_EFER 0xc0000080u
#define MSR_KERNEL_GS_BASE 0xc0000102u

#define CR0_NEEDED (BIT(31) | BIT(5) | BIT(0)) /* PG, NE, PE */
#define CR4_VMXE BIT(13)

/* What a VMX instruction answers (SDM "Conventions" of the VMX instruction reference). */
enum { VM_OK, VM_FAIL_INVALID, VM_FAIL_VALID };

static inline unsigned vm_answer(bool carry, bool zero)
{
    return carry ? VM_FAIL_INVALID : zero ? VM_FAIL_VALID : VM_OK;
}

#define VMX_ADDRESS(name)                                                                          \
    static inline unsigned name(u64 address)                                                       \
    {                                                                                              \
        bool c, z;                                                                                 \
        __asm__ volatile(#name " %2" : "=@ccc"(c), "=@ccz"(z) : "m"(address) : "memory");          \
        return vm_answer(c, z);                                                                    \
    }
VMX_ADDRESS(vmxon)
VMX_ADDRESS(vmclear)
VMX_ADDRESS(vmptrld)
#undef VMX_ADDRESS

static inline unsigned vmptrst(u64 *address)
{
    bool c, z;
    __asm__ volatile("vmptrst %2" : "=@ccc"(c), "=@ccz"(z), "=m"(*address) : : "memory");
    return vm_answer(c, z);
}

static inline unsigned vmxoff(void)
{
    bool c, z;
    __asm__ volatile("vmxoff" : "=@ccc"(c), "=@ccz"(z) : : "memory");
    return vm_answer(c, z);
}

static inline unsigned vmread(u64 field, u64 *value)
{
    bool c, z;
    u64 val = 0;
    __asm__ volatile("vmread %3, %2" : "=@ccc"(c), "=@ccz"(z), "+r"(val) : "r"(field) : "memory");
    *value = val;
    return vm_answer(c, z);
}

static inline unsigned vmwrite(u64 field, u64 value)
{
    bool c, z;
    __asm__ volatile("vmwrite %3, %2" : "=@ccc"(c), "=@ccz"(z) : "r"(field), "r"(value) : "memory");
    return vm_answer(c, z);
}

struct invalidation {
    u64 which, address; /* VPID or EPTP; linear address */
};

static inline unsigned invept(u64 type, u64 eptp)
{
    struct invalidation desc = {eptp, 0};
    bool c, z;
    __asm__ volatile("invept %2, %3" : "=@ccc"(c), "=@ccz"(z) : "m"(desc), "r"(type) : "memory");
    return vm_answer(c, z);
}

static inline unsigned invvpid(u64 type, u64 vpid, u64 address)
{
    struct invalidation desc = {vpid, address};
    bool c, z;
    __asm__ volatile("invvpid %2, %3" : "=@ccc"(c), "=@ccz"(z) : "m"(desc), "r"(type) : "memory");
    return vm_answer(c, z);
}

#endif
