/* SPDX-License-Identifier: MIT */
/* A level's life: it starts, runs the next one to its end, and tells what happened. */
#include "tests/guests/trap.h"
#include "tests/guests/turtle/turtle.h"
#include "tests/guests/x86.h"

struct hypervisor hv;

/* ---- The machine ---- */

void *new_page(void)
{
    u8 *page = hv.heap;
    if ((u64)page + PAGE_SIZE > LEVEL_STEP)
        panic("no memory left at", (u64)page);
    hv.heap += PAGE_SIZE;
    u64 *to = (u64 *)page, count = PAGE_SIZE / 8;
    __asm__ volatile("rep stosq" : "+D"(to), "+c"(count) : "a"(0) : "memory");
    return page;
}

u64 new_vmcs(u32 flags)
{
    u32 *page = new_page();
    page[0] = (u32)rdmsr(MSR_VMX_BASIC) | flags;
    return (u64)page;
}

u64 vm_get(u64 field)
{
    u64 value;
    if (vmread(field, &value) != VM_OK)
        panic("VMREAD of", field);
    return value;
}

void vm_set(u64 field, u64 value)
{
    if (vmwrite(field, value) != VM_OK)
        panic("VMWRITE of", field);
}

void vm_use(u64 vmcs)
{
    if (vmptrld(vmcs) != VM_OK)
        panic("VMPTRLD of", vmcs);
}

/* ---- The child ---- */

/* Before anything of ours has run, so that the copy is as fresh. */
static void copy_image(void)
{
    u64 *from = (u64 *)IMAGE_AT, *to = (u64 *)(LEVEL_STEP + IMAGE_AT), count = IMAGE_SIZE / 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static void write_params(void)
{
    struct params *params = child_pointer(PARAMS_AT);
    *params = (struct params){
        .level = hv.level + 1,
        .depth = hv.depth,
        .options = hv.options,
        .memory = hv.memory - LEVEL_STEP,
    };
    hv.regs.r[7] = PARAMS_AT; /* RDI */
}

static void run_child(void)
{
    while (!hv.done) {
        struct grandchild *g = hv.running;
        bool *launched = g ? &g->ran : &hv.launched;
        unsigned how = vm_run(&hv.regs, !*launched);
        if (how != VM_OK && !g)
            panic("entry to the child refused", vm_get(VMCS_VM_INSTRUCTION_ERROR));
        if (how != VM_OK) {
            entry_refused(how);
            continue;
        }
        u32 reason = (u32)vm_get(VMCS_EXIT_REASON);
        *launched |= !(reason & ENTRY_FAILURE);
        if (g)
            grandchild_exit(reason);
        else
            child_exit(reason);
    }
}

static void enable_vmx(void)
{
    if (!(rdmsr(MSR_FEATURE_CONTROL) & 1))
        wrmsr(MSR_FEATURE_CONTROL, 5); /* VMX outside SMX; locked */
    write_cr4(read_cr4() | CR4_VMXE);
}

static void hypervise(const struct params *params)
{
    copy_image();
    hv.start_gdt = gdt_base();
    guest_init();
    hv.level = params->level;
    hv.depth = params->depth;
    hv.options = params->options;
    hv.memory = params->memory;
    hv.paging = is_set(OPTION_SHADOW_PAGING) && (hv.level > 1 || hv.depth == 1);
    hv.heap = (u8 *)HEAP_AT;
    hv.current_gpa = UINT64_MAX;
    enable_vmx();
    selfcheck_operation();
    setup_child();
    selfcheck_entry();
    write_params();
    run_child();
    record_equal(vmlaunch_again(), ERR_LAUNCH_NOT_CLEAR, "VMLAUNCH of what was launched fails");
    record_check(vmxoff() == VM_OK, "VMXOFF");
    record_exits();
}

void level_main(struct params *params)
{
    if (params->level > params->depth) {
        guest_init();
        hv.level = params->level;
        payload(params->depth, params->options);
    } else {
        hypervise(params);
    }
    record_deliver();
}

/* ---- Level 1 ---- */

/* PVH start information, as far as needed */
struct start_info {
    u32 magic, version, flags, modules;
    u64 modules_at, command_line_at;
};

static bool has_word(const char *line, const char *word)
{
    for (; *line; line++) {
        unsigned k = 0;
        while (word[k] && line[k] == word[k])
            k++;
        if (!word[k] && (!line[k] || line[k] == ' '))
            return true;
        while (line[1] && *line != ' ')
            line++;
    }
    return false;
}

/* "depth-1" to "depth-4", "shadowing", "shadow-on-ept" */
static struct params parse(const char *line)
{
    struct params p = {.level = 1, .depth = 1, .memory = MACHINE_MEMORY};
    static const char *const depths[] = {"depth-1", "depth-2", "depth-3", "depth-4"};
    for (u32 k = 0; k < ARRAY_SIZE(depths); k++)
        if (has_word(line, depths[k]))
            p.depth = k + 1;
    if (has_word(line, "shadowing"))
        p.options |= OPTION_SHADOWING;
    if (has_word(line, "shadow-on-ept"))
        p.options |= OPTION_SHADOW_PAGING;
    return p;
}

int turtle_main(const struct start_info *info)
{
    const char *line = info->command_line_at ? (const char *)info->command_line_at : "";
    struct params p = parse(line);
    hypervise(&p);
    return record_print();
}
