/* SPDX-License-Identifier: MIT */
/* The VMX instructions, as the child sees them. They exit with our VMCS of the child current. */
#include "tests/guests/turtle/turtle.h"
#include "tests/guests/x86.h"

#define STATUS_FLAGS UINT64_C(0x8d5)
#define FLAG_CF UINT64_C(1)
#define FLAG_ZF UINT64_C(0x40)

enum { INVEPT_ONE = 1, INVEPT_ALL = 2 };
enum { INVVPID_ADDRESS, INVVPID_ONE, INVVPID_ALL, INVVPID_ONE_NON_GLOBAL };

/* ---- Answers ---- */

void answer(unsigned how, u32 number)
{
    u64 flags = vm_get(VMCS_GUEST_RFLAGS);
    u64 set = how == VM_FAIL_INVALID ? FLAG_CF : how == VM_FAIL_VALID ? FLAG_ZF : 0;
    if ((flags & STATUS_FLAGS) != set)
        vm_set(VMCS_GUEST_RFLAGS, (flags & ~STATUS_FLAGS) | set);
    if (how == VM_FAIL_VALID)
        field_set(hv.current, VMCS_VM_INSTRUCTION_ERROR, number);
    advance();
}

static void fail(u32 number)
{
    answer(hv.current ? VM_FAIL_VALID : VM_FAIL_INVALID, number);
}

static void succeed(void)
{
    answer(VM_OK, 0);
}

/* ---- Operands (SDM "VM-Exit Instruction-Information Field") ---- */

#define INFO_REGISTER BIT(10)
#define INFO_NO_INDEX BIT(22)
#define INFO_NO_BASE BIT(27)

static u64 *memory_operand(u64 info)
{
    u64 address = vm_get(VMCS_EXIT_QUALIFICATION);
    if (!(info & INFO_NO_INDEX))
        address += get_reg((unsigned)BITS(info, 21, 18)) << (info & 3);
    if (!(info & INFO_NO_BASE))
        address += get_reg((unsigned)BITS(info, 26, 23));
    return child_linear(address);
}

static u64 address_operand(void)
{
    return *memory_operand(vm_get(VMCS_EXIT_INSTRUCTION_INFO));
}

/* ---- Shadow VMCS: between the child's VMCS and what the processor reads ---- */

/* Leaves the child's VMCS of ours current, as it was. */
static void leave_shadow(void)
{
    if (vmclear(hv.shadow) != VM_OK)
        panic("VMCLEAR of", hv.shadow);
    vm_use(hv.vmcs);
}

static void fill_shadow(void)
{
    for (unsigned k = 0; k < HOT_FIELDS; k++)
        vm_set(hot_fields[k], field_get(hv.current, hot_fields[k]));
}

static void drain_shadow(void)
{
    for (unsigned k = 0; k < HOT_FIELDS; k++)
        field_set(hv.current, hot_fields[k], vm_get(hot_fields[k]));
}

void copy_to_shadow(void)
{
    if (!is_set(OPTION_SHADOWING) || !hv.current)
        return;
    vm_use(hv.shadow);
    fill_shadow();
    leave_shadow();
}

void copy_from_shadow(void)
{
    if (!is_set(OPTION_SHADOWING) || !hv.current)
        return;
    vm_use(hv.shadow);
    drain_shadow();
    leave_shadow();
}

/* Outside VMX operation the child's accesses must exit, to be undefined. */
static void use_shadow(bool on)
{
    u32 controls = (u32)vm_get(VMCS_SECONDARY_CONTROLS) & ~SECONDARY_SHADOWING;
    if (is_set(OPTION_SHADOWING))
        vm_set(VMCS_SECONDARY_CONTROLS, on ? controls | SECONDARY_SHADOWING : controls);
}

/* The child's current VMCS, NULL: none. */
static void set_current(struct child_vmcs *v, u64 gpa)
{
    bool had = hv.current;
    copy_from_shadow();
    hv.current = v;
    hv.current_gpa = gpa;
    copy_to_shadow();
    if (is_set(OPTION_SHADOWING) && had != (v != NULL))
        vm_set(VMCS_VMCS_LINK_POINTER, v ? hv.shadow : UINT64_MAX);
}

/* ---- Operation ---- */

static bool valid_region(u64 gpa)
{
    return !(gpa & ~PAGE_MASK) && gpa < hv.memory - LEVEL_STEP;
}

static void insn_vmxon(void)
{
    u64 gpa = address_operand();
    if (hv.vmx_on) {
        fail(ERR_VMXON_IN_ROOT);
        return;
    }
    if (!valid_region(gpa) || *(u32 *)child_pointer(gpa) != CHILD_REVISION) {
        answer(VM_FAIL_INVALID, 0);
        return;
    }
    hv.vmx_on = true;
    hv.vmxon_gpa = gpa;
    use_shadow(true);
    succeed();
}

static void insn_vmxoff(void)
{
    set_current(NULL, UINT64_MAX);
    hv.vmx_on = false;
    use_shadow(false);
    succeed();
}

static void insn_vmclear(void)
{
    u64 gpa = address_operand();
    if (!valid_region(gpa)) {
        fail(ERR_VMCLEAR_ADDRESS);
        return;
    }
    if (gpa == hv.vmxon_gpa) {
        fail(ERR_VMCLEAR_VMXON);
        return;
    }
    struct child_vmcs *v = child_pointer(gpa);
    struct grandchild *g = find_grandchild(gpa);
    if (gpa == hv.current_gpa)
        set_current(NULL, UINT64_MAX);
    if (g)
        forget_grandchild(g);
    v->launched = false;
    succeed();
}

static void insn_vmptrld(void)
{
    u64 gpa = address_operand();
    if (!valid_region(gpa)) {
        fail(ERR_VMPTRLD_ADDRESS);
        return;
    }
    if (gpa == hv.vmxon_gpa) {
        fail(ERR_VMPTRLD_VMXON);
        return;
    }
    struct child_vmcs *v = child_pointer(gpa);
    u32 may = is_set(OPTION_SHADOWING) ? SHADOW_INDICATOR : 0;
    if ((v->revision & ~may) != CHILD_REVISION) {
        fail(ERR_VMPTRLD_REVISION);
        return;
    }
    if (v != hv.current)
        set_current(v, gpa);
    succeed();
}

static void insn_vmptrst(void)
{
    *memory_operand(vm_get(VMCS_EXIT_INSTRUCTION_INFO)) = hv.current_gpa;
    succeed();
}

/* ---- Fields ---- */

/* Rarely read guest state is fetched from our VMCS only when the child asks for it. */
static u64 read_field(u64 field)
{
    u64 base = field & ~UINT64_C(1), value;
    struct grandchild *g = find_grandchild(hv.current_gpa);
    bool rare = field_is_guest(field) && !field_is_hot(base) && base != VMCS_VMCS_LINK_POINTER &&
                !(hv.paging && base == VMCS_GUEST_CR3);
    if (rare && g && g->ran && !is_dirty(g, base)) {
        vm_use(g->vmcs);
        value = vm_get(base);
        vm_use(hv.vmcs);
        field_set(hv.current, base, value);
    }
    return field_get(hv.current, field);
}

/* The two operands: a field, and a value in a register or in memory */
static u64 *value_operand(u64 info)
{
    static u64 sp;
    if (!(info & INFO_REGISTER))
        return memory_operand(info);
    unsigned number = (unsigned)BITS(info, 6, 3);
    sp = number == 4 ? vm_get(VMCS_GUEST_RSP) : 0;
    return number == 4 ? &sp : &hv.regs.r[number]; /* nobody reads a field to RSP */
}

static void insn_access(bool write)
{
    u64 info = vm_get(VMCS_EXIT_INSTRUCTION_INFO);
    u64 field = get_reg((unsigned)BITS(info, 31, 28)), *value = value_operand(info);
    if (!hv.current || field_slot(field) < 0) {
        fail(ERR_NO_FIELD);
        return;
    }
    hv.hot_accesses += field_is_hot(field);
    if (write) {
        field_set(hv.current, field, *value);
        if (!field_is_hot(field))
            set_dirty(find_grandchild(hv.current_gpa), field & ~UINT64_C(1));
    } else {
        *value = read_field(field);
    }
    succeed();
}

bool shadowed_access(struct grandchild *g, u32 reason)
{
    if (!is_set(OPTION_SHADOWING) ||
        !(field_get(g->v, VMCS_SECONDARY_CONTROLS) & SECONDARY_SHADOWING))
        return false;
    u64 info = vm_get(VMCS_EXIT_INSTRUCTION_INFO), link = field_get(g->v, VMCS_VMCS_LINK_POINTER);
    u64 field = get_reg((unsigned)BITS(info, 31, 28));
    bool write = reason == EXIT_VMWRITE;
    u64 map = field_get(g->v, write ? VMCS_VMWRITE_BITMAP : VMCS_VMREAD_BITMAP);
    if (field > 0x7fff || (((u8 *)child_pointer(map))[field / 8] >> field % 8 & 1))
        return false;
    if (!(info & INFO_REGISTER) || field_slot(field) < 0)
        panic("shadowed access to", field);
    struct child_vmcs *shadow = valid_region(link) ? child_pointer(link) : NULL;
    if (shadow && write)
        field_set(shadow, field, *value_operand(info));
    else if (shadow)
        *value_operand(info) = field_get(shadow, field);
    answer(shadow ? VM_OK : VM_FAIL_INVALID, 0);
    return true;
}

/* ---- Invalidation ---- */

static void insn_invept(void)
{
    u64 info = vm_get(VMCS_EXIT_INSTRUCTION_INFO);
    u64 type = get_reg((unsigned)BITS(info, 31, 28)), eptp = *memory_operand(info);
    if (type != INVEPT_ONE && type != INVEPT_ALL) {
        fail(ERR_INVALIDATION);
        return;
    }
    for (unsigned k = 0; k < GRANDCHILDREN; k++) {
        struct grandchild *g = &hv.grandchildren[k];
        bool same = g->used && field_get(g->v, VMCS_EPT_POINTER) == eptp;
        if (g->used && (same || type == INVEPT_ALL))
            flush_grandchild(g);
    }
    succeed();
}

static void insn_invvpid(void)
{
    u64 info = vm_get(VMCS_EXIT_INSTRUCTION_INFO);
    u64 type = get_reg((unsigned)BITS(info, 31, 28)), vpid = *memory_operand(info);
    if (type > INVVPID_ONE_NON_GLOBAL || vpid >> 16 || (!vpid && type != INVVPID_ALL)) {
        fail(ERR_INVALIDATION);
        return;
    }
    for (unsigned k = 0; k < GRANDCHILDREN; k++) {
        struct grandchild *g = &hv.grandchildren[k];
        if (!g->used || (type != INVVPID_ALL && field_get(g->v, VMCS_VPID) != vpid))
            continue;
        if (hv.paging)
            flush_grandchild(g);
        else
            invvpid(INVVPID_ONE, g->vpid, 0);
    }
    succeed();
}

/* ---- All of them ---- */

static void insn_enter(bool launch)
{
    if (!hv.current || hv.current->revision != CHILD_REVISION)
        answer(VM_FAIL_INVALID, 0);
    else if (launch && hv.current->launched)
        fail(ERR_LAUNCH_NOT_CLEAR);
    else if (!launch && !hv.current->launched)
        fail(ERR_RESUME_NOT_LAUNCHED);
    else
        enter_grandchild();
}

void vmx_instruction(u32 reason)
{
    switch (reason) {
    case EXIT_VMXON:
        insn_vmxon();
        break;
    case EXIT_VMXOFF:
        insn_vmxoff();
        break;
    case EXIT_VMCLEAR:
        insn_vmclear();
        break;
    case EXIT_VMPTRLD:
        insn_vmptrld();
        break;
    case EXIT_VMPTRST:
        insn_vmptrst();
        break;
    case EXIT_VMREAD:
    case EXIT_VMWRITE:
        insn_access(reason == EXIT_VMWRITE);
        break;
    case EXIT_VMLAUNCH:
    case EXIT_VMRESUME:
        insn_enter(reason == EXIT_VMLAUNCH);
        break;
    case EXIT_INVEPT:
        insn_invept();
        break;
    default:
        insn_invvpid();
        break;
    }
}

/* ---- Capability MSRs ---- */

#define BASIC_WRITE_BACK (UINT64_C(6) << 50)
#define BASIC_TRUE BIT(55)
#define MISC_WRITE_ALL BIT(29)
#define EPT_VPID_OFFERED                                                                           \
    UINT64_C(0xf0106114040) /* four levels, write-back, 2 MiB, INVEPT, INVVPID */

/* Of the settings below, those that we know what to do with. */
static u64 limits(u32 msr, u32 known)
{
    u64 below = rdmsr(msr);
    u32 ones = (u32)below, may = (u32)(below >> 32) & (ones | known);
    return (u64)may << 32 | ones;
}

u64 capability(u32 msr)
{
    u32 secondary = SECONDARY_VPID | (hv.paging ? 0 : SECONDARY_EPT) |
                    (is_set(OPTION_SHADOWING) ? SECONDARY_SHADOWING : 0);
    switch (msr) {
    case MSR_VMX_BASIC:
        return CHILD_REVISION | PAGE_SIZE << 32 | BASIC_WRITE_BACK | BASIC_TRUE;
    case MSR_VMX_TRUE_PINBASED:
        return limits(msr, 0);
    case MSR_VMX_TRUE_PROCBASED:
        return limits(msr, PRIMARY_HLT | PRIMARY_INVLPG | PRIMARY_CR3_LOAD | PRIMARY_CR3_STORE |
                               PRIMARY_UNCONDITIONAL_IO | PRIMARY_MSR_BITMAPS | PRIMARY_SECONDARY);
    case MSR_VMX_PROCBASED2:
        return limits(msr, secondary);
    case MSR_VMX_TRUE_EXIT:
        return limits(msr, EXITS_HOST_64);
    case MSR_VMX_TRUE_ENTRY:
        return limits(msr, ENTRY_IA32E);
    case MSR_VMX_MISC:
        return rdmsr(msr) & MISC_WRITE_ALL;
    case MSR_VMX_VMCS_ENUM:
        return (SLOTS_PER_GROUP - 1) << 1;
    case MSR_VMX_EPT_VPID:
        return rdmsr(msr) & EPT_VPID_OFFERED;
    default: /* the older forms of the controls, CR0 and CR4 */
        return rdmsr(msr);
    }
}
