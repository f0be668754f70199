/* SPDX-License-Identifier: MIT */
#include "frontend/debugger_points.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "vmx/controls.h"
#include "vmx/vmcs.h"

/* ---- The table ---- */

static bool is_watch(enum debug_point_kind kind)
{
    return kind == DEBUG_WRITE || kind == DEBUG_READ || kind == DEBUG_ACCESS;
}

unsigned debug_points_add(struct debug_points *t, const struct debug_point *p, struct error *err)
{
    bool bad = p->kind >= DEBUG_POINT_KINDS;
    if (is_watch(p->kind))
        bad = !p->size || p->address + (p->size - 1) < p->address;
    if (bad) {
        error_set(err, "no such range can be watched");
        return 0;
    }
    if (t->count == DEBUG_POINTS_MAX) {
        error_set(err, "more than %d points", DEBUG_POINTS_MAX);
        return 0;
    }
    struct debug_point *new = &t->point[t->count++];
    *new = *p;
    new->id = ++t->last_id;
    new->hits = 0;
    return new->id;
}

void debug_points_remove(struct debug_points *t, struct debug_point *p)
{
    size_t n = (size_t)(p - t->point);
    t->count--;
    memmove(p, p + 1, (t->count - n) * sizeof(*p));
}

struct debug_point *debug_points_find(struct debug_points *t, unsigned id)
{
    for (unsigned n = 0; n < t->count; n++)
        if (t->point[n].id == id)
            return &t->point[n];
    return NULL;
}

void debug_points_done(struct debug_points *t, struct debug_point *p)
{
    if (p->once)
        debug_points_remove(t, p);
}

bool debug_points_any(const struct debug_points *t)
{
    for (unsigned n = 0; n < t->count; n++)
        if (!t->point[n].disabled)
            return true;
    return false;
}

/* ---- Places ---- */

static bool overlap(u64 a, u64 a_size, u64 b, u64 b_size)
{
    return a - b < b_size || b - a < a_size;
}

/*
 * The core names memory by where it is (struct ram's ROM and video memory have addresses of their own);
 * a point names it by where it is mapped. Larger ranges than this are taken to be RAM.
 */
#define MAPPED_PAGES_MAX 64

static bool covers_mapped(const struct ram *ram, const struct debug_place *p, u64 hpa, u64 size)
{
    u64 first = p->address & PAGE_MASK, last = (p->address + p->size - 1) & PAGE_MASK;
    if ((last - first) >> PAGE_SHIFT >= MAPPED_PAGES_MAX)
        return false;
    for (u64 page = first;; page += PAGE_SIZE) {
        const u8 *host = ram_host(ram, page);
        u64 begin = MAX(page, p->address);
        u64 bytes = MIN(page + (PAGE_SIZE - 1), p->address + p->size - 1) - begin + 1;
        if (host && overlap(ram_hpa(ram, host) + (begin - page), bytes, hpa, size))
            return true;
        if (page == last)
            return false;
    }
}

static bool covers(const struct ram *ram, const struct debug_place *p, u64 hpa, u64 size)
{
    return overlap(p->address, p->size, hpa, size) || covers_mapped(ram, p, hpa, size);
}

static struct debug_place place_of(const struct debug_point *p)
{
    return (struct debug_place){.kind = p->kind,
                                .physical = p->physical,
                                .address = p->address,
                                .size = p->kind == DEBUG_EXEC ? 1 : p->size};
}

static bool gather(const struct debug_points *t, bool watch, struct debug_place *list,
                   unsigned *count)
{
    bool changed = false;
    unsigned n = 0;
    for (unsigned k = 0; k < t->count; k++) {
        const struct debug_point *p = &t->point[k];
        if (p->disabled || !(watch ? is_watch(p->kind) : p->kind == DEBUG_EXEC))
            continue;
        struct debug_place place = place_of(p);
        changed = changed || n >= *count || place.kind != list[n].kind ||
                  place.physical != list[n].physical || place.address != list[n].address ||
                  place.size != list[n].size;
        list[n++] = place;
    }
    changed = changed || n != *count;
    *count = n;
    return changed;
}

bool debug_points_apply_code(struct debug_points *t)
{
    return gather(t, false, t->code, &t->codes);
}

bool debug_points_apply_watch(struct debug_points *t)
{
    return gather(t, true, t->watched, &t->watches);
}

bool debug_points_mark(const struct debug_points *t, u64 lin, u64 lin_mask, u64 hpa)
{
    for (unsigned n = 0; n < t->codes; n++) {
        const struct debug_place *p = &t->code[n];
        if (p->physical ? covers(t->ram, p, hpa, 1) : !((p->address ^ lin) & lin_mask))
            return true;
    }
    return false;
}

/* Instructions that read and write look for the right to write only: it goes for both kinds. */
unsigned debug_points_watch(const struct debug_points *t, u64 lin, const u8 *host)
{
    unsigned kinds = 0;
    for (unsigned n = 0; n < t->watches; n++) {
        const struct debug_place *p = &t->watched[n];
        bool in = p->physical ? covers(t->ram, p, ram_hpa(t->ram, host), PAGE_SIZE)
                              : overlap(p->address, p->size, lin, PAGE_SIZE);
        if (in)
            kinds |= p->kind == DEBUG_WRITE ? TLB_WATCH_WRITE : TLB_WATCH_READ | TLB_WATCH_WRITE;
    }
    return kinds;
}

bool debug_points_watching(const struct debug_points *t)
{
    return t->watches;
}

/* ---- Matching ---- */

static bool is_accessed(const struct ram *ram, const struct debug_point *p,
                        const struct probe_event *e)
{
    struct debug_place place = place_of(p);
    bool kind = (e->write && p->kind != DEBUG_READ) || (e->read && p->kind != DEBUG_WRITE);
    if (!kind)
        return false;
    if (!p->physical)
        return overlap(p->address, p->size, e->lin, e->size);
    return covers(ram, &place, e->hpa[0], e->first) ||
           (e->first < e->size && covers(ram, &place, e->hpa[1], e->size - e->first));
}

static bool is_at(const struct ram *ram, const struct debug_point *p, const struct probe_event *e)
{
    struct debug_place place = place_of(p);
    return p->physical ? covers(ram, &place, e->hpa[0], 1) : p->address == e->lin;
}

static bool is_number(const struct debug_point *p, u32 number)
{
    return p->number == DEBUG_ANY || p->number == number;
}

static bool matches(const struct debug_points *t, const struct debug_point *p,
                    const struct probe_event *e)
{
    switch (e->place) {
    case PROBE_FETCH:
        return p->kind == DEBUG_EXEC && is_at(t->ram, p, e);
    case PROBE_ACCESS:
        return is_watch(p->kind) && is_accessed(t->ram, p, e);
    case PROBE_EXIT:
    case PROBE_FAILED_ENTRY:
        return p->kind == DEBUG_VM_EXIT && is_number(p, e->number & 0xffff);
    case PROBE_ENTRY:
        return p->kind == DEBUG_VM_ENTRY;
    case PROBE_VMWRITE: /* the high half of a 64-bit field is the field, too */
        return p->kind == DEBUG_VM_WRITE && is_number(p, e->number & ~1u);
    case PROBE_EXCEPTION:
        return p->kind == DEBUG_EXCEPTION && is_number(p, e->number);
    case PROBE_INTERRUPT:
        return p->kind == DEBUG_INTERRUPT && is_number(p, e->number);
    default:
        return false;
    }
}

struct debug_point *debug_points_match(struct debug_points *t, const struct probe_event *e)
{
    for (unsigned n = 0; n < t->count; n++)
        if (!t->point[n].disabled && matches(t, &t->point[n], e))
            return &t->point[n];
    return NULL;
}

/* ---- Names ---- */

static bool parse_number(const char *text, u32 *to)
{
    char *end;
    unsigned long v = strtoul(text, &end, 0);
    *to = (u32)v;
    return *text >= '0' && *text <= '9' && !*end && v < UINT32_MAX;
}

bool debugger_find_reason(const char *text, u32 *reason)
{
    for (u32 n = 0; n < 128; n++) {
        if (!strcasecmp(text, vmx_reason_name(n)) && strcasecmp(text, "unknown")) {
            *reason = n;
            return true;
        }
    }
    return parse_number(text, reason) && *reason <= 0xffff;
}

bool debugger_find_field(const char *text, u32 *encoding)
{
    for (u32 n = 0; n < 0x8000; n += 2) {
        if (vmcs_slot(n) >= 0 && !strcasecmp(text, vmcs_field_name(n))) {
            *encoding = n;
            return true;
        }
    }
    return parse_number(text, encoding) && vmcs_slot(*encoding & ~1u) >= 0;
}

bool debugger_event_kind(const char *word, enum debug_point_kind *kind)
{
    static const struct {
        const char *word;
        enum debug_point_kind kind;
    } kinds[] = {{"vmexit", DEBUG_VM_EXIT},
                 {"vmentry", DEBUG_VM_ENTRY},
                 {"vmwrite", DEBUG_VM_WRITE},
                 {"exception", DEBUG_EXCEPTION},
                 {"interrupt", DEBUG_INTERRUPT}};
    for (size_t n = 0; n < ARRAY_SIZE(kinds); n++) {
        if (!strcmp(kinds[n].word, word)) {
            *kind = kinds[n].kind;
            return true;
        }
    }
    return false;
}

bool debugger_event_number(enum debug_point_kind kind, const char *text, u32 *number)
{
    *number = DEBUG_ANY;
    if (!strcmp(text, "any"))
        return true;
    if (kind == DEBUG_VM_ENTRY)
        return false;
    if (kind == DEBUG_VM_EXIT)
        return debugger_find_reason(text, number);
    if (kind != DEBUG_VM_WRITE)
        return parse_number(text, number) && *number <= 255;
    bool found = debugger_find_field(text, number);
    *number &= ~1u;
    return found;
}

static const char *const kind_words[] = {
    [DEBUG_EXEC] = "break",
    [DEBUG_WRITE] = "watch write",
    [DEBUG_READ] = "watch read",
    [DEBUG_ACCESS] = "watch access",
    [DEBUG_VM_EXIT] = "break vmexit",
    [DEBUG_VM_ENTRY] = "break vmentry",
    [DEBUG_VM_WRITE] = "break vmwrite",
    [DEBUG_EXCEPTION] = "break exception",
    [DEBUG_INTERRUPT] = "break interrupt",
};

static void number_words(const struct debug_point *p, char *to, size_t size)
{
    if (p->number == DEBUG_ANY || p->kind == DEBUG_VM_ENTRY)
        snprintf(to, size, "%s", p->kind == DEBUG_VM_ENTRY ? "" : " any");
    else if (p->kind == DEBUG_VM_EXIT)
        snprintf(to, size, " %s", vmx_reason_name(p->number));
    else if (p->kind == DEBUG_VM_WRITE)
        snprintf(to, size, " %s", vmcs_field_name(p->number & ~1u));
    else
        snprintf(to, size, " %u", p->number);
}

void debugger_describe(const struct debug_point *p, char *to, size_t size)
{
    char what[80];
    const char *space = p->physical ? " physical" : "";
    if (p->kind == DEBUG_EXEC)
        snprintf(what, sizeof(what), "%s 0x%llx", space, (unsigned long long)p->address);
    else if (is_watch(p->kind))
        snprintf(what, sizeof(what), "%s 0x%llx, %llu bytes", space, (unsigned long long)p->address,
                 (unsigned long long)p->size);
    else
        number_words(p, what, sizeof(what));
    snprintf(to, size, "%u %s%s%s%s, hit %llu times", p->id, kind_words[p->kind], what,
             p->once ? ", once" : "", p->disabled ? ", disabled" : "", (unsigned long long)p->hits);
}

void debug_points_reason(const struct debug_stop *s, char *to, size_t size)
{
    unsigned id = s->point.id;
    unsigned long long address = s->address, value = s->value;
    switch (s->point.kind) {
    case DEBUG_EXEC:
        snprintf(to, size, "breakpoint %u", id);
        break;
    case DEBUG_WRITE:
    case DEBUG_READ:
    case DEBUG_ACCESS:
        snprintf(to, size, "watchpoint %u: %s of %u bytes at 0x%llx", id,
                 s->write ? "write" : "read", s->size, address);
        break;
    case DEBUG_VM_EXIT:
        snprintf(to, size, "breakpoint %u: %s %s, qualification 0x%llx", id,
                 s->number & REASON_ENTRY_FAILURE ? "failed VM entry" : "VM exit",
                 vmx_reason_name(s->number & 0xffff), value);
        break;
    case DEBUG_VM_ENTRY:
        snprintf(to, size, "breakpoint %u: VM entry", id);
        break;
    case DEBUG_VM_WRITE:
        snprintf(to, size, "breakpoint %u: VMWRITE of 0x%llx to %s", id, value,
                 vmcs_field_name(s->number & ~1u));
        break;
    default:
        snprintf(to, size, "breakpoint %u: %s %u", id,
                 s->point.kind == DEBUG_EXCEPTION ? "exception" : "interrupt", s->number);
        break;
    }
}
