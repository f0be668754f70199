/* SPDX-License-Identifier: MIT */
/*
 * From National's PC16550D data sheet. The transmitter is always empty again when a write returns.
 * A character timeout comes at once instead of after four characters' time.
 */
#include "devices/uart16550.h"

#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"

enum { RBR_THR, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR, UART_PORTS };

#define FIFO_SIZE 16

#define IER_RECEIVED 0x01
#define IER_EMPTY 0x02
#define IER_LINE 0x04
#define IER_MODEM 0x08
#define IER_ALL 0x0f

#define IIR_NONE 0x01
#define IIR_MODEM 0x00
#define IIR_EMPTY 0x02
#define IIR_RECEIVED 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0

#define FCR_ENABLE 0x01
#define FCR_CLEAR_RX 0x02
#define FCR_TRIGGER(v) ((v) >> 6)

#define LCR_DLAB 0x80
#define MCR_OUT2 0x08
#define MCR_LOOP 0x10
#define MCR_ALL 0x1f

#define LSR_READY 0x01
#define LSR_OVERRUN 0x02
#define LSR_ERRORS 0x1e
#define LSR_EMPTY 0x60 /* holding register and transmitter */

#define MSR_LINES 0xf0
#define MSR_RING 0x40
#define MSR_CONNECTED 0xb0 /* carrier, data set ready, clear to send */

struct uart16550 {
    const struct device_env *env;
    struct uart16550_config config;
    u8 ier, fcr, lcr, mcr, lsr, msr, scratch;
    u8 divisor[2];
    u8 fifo[FIFO_SIZE];
    u8 first, count;    /* of the receive FIFO */
    bool empty_pending; /* the transmitter became empty and nobody has seen it */
};

static unsigned capacity(const struct uart16550 *uart)
{
    return uart->fcr & FCR_ENABLE ? FIFO_SIZE : 1;
}

static unsigned trigger(const struct uart16550 *uart)
{
    static const u8 levels[4] = {1, 4, 8, 14};
    return uart->fcr & FCR_ENABLE ? levels[FCR_TRIGGER(uart->fcr)] : 1;
}

/* The interrupt of highest priority, as in the identification register. */
static u8 interrupt(const struct uart16550 *uart)
{
    if ((uart->ier & IER_LINE) && (uart->lsr & LSR_ERRORS))
        return IIR_LINE;
    if ((uart->ier & IER_RECEIVED) && uart->count)
        return uart->count >= trigger(uart) ? IIR_RECEIVED : IIR_TIMEOUT;
    if ((uart->ier & IER_EMPTY) && uart->empty_pending)
        return IIR_EMPTY;
    if ((uart->ier & IER_MODEM) && (uart->msr & ~MSR_LINES))
        return IIR_MODEM;
    return IIR_NONE;
}

/* A PC gates the interrupt with OUT2. */
static void update_irq(struct uart16550 *uart)
{
    struct irq_line line = device_line(uart->env, LINE_GSI + (unsigned)uart->config.irq);
    irq_set(&line, interrupt(uart) != IIR_NONE && (uart->mcr & MCR_OUT2));
}

static void fifo_push(struct uart16550 *uart, u8 byte)
{
    if (uart->count >= capacity(uart)) {
        uart->lsr |= LSR_OVERRUN;
        if (capacity(uart) > 1)
            return; /* the FIFO keeps what it holds; a lone register takes the new byte */
        uart->count = 0;
    }
    uart->fifo[(uart->first + uart->count) % FIFO_SIZE] = byte;
    uart->count++;
}

static u8 fifo_pop(struct uart16550 *uart)
{
    u8 byte = uart->fifo[uart->first % FIFO_SIZE];
    if (!uart->count)
        return 0;
    uart->first = (u8)((uart->first + 1u) % FIFO_SIZE);
    uart->count--;
    return byte;
}

static void fill(struct uart16550 *uart)
{
    const struct char_backend *backend = &uart->config.backend;
    u8 bytes[FIFO_SIZE];
    if (!backend->get || (uart->mcr & MCR_LOOP) || uart->count >= capacity(uart))
        return;
    size_t got = backend->get(backend->get_opaque, bytes, capacity(uart) - uart->count);
    ASSERT(got <= capacity(uart) - uart->count);
    for (size_t n = 0; n < got; n++)
        fifo_push(uart, bytes[n]);
}

void uart16550_poll(struct uart16550 *uart)
{
    fill(uart);
    update_irq(uart);
}

static void transmit(struct uart16550 *uart, u8 byte)
{
    const struct char_backend *backend = &uart->config.backend;
    if (uart->mcr & MCR_LOOP)
        fifo_push(uart, byte);
    else if (backend->put)
        backend->put(backend->opaque, &byte, 1);
    uart->empty_pending = true;
}

/* Modem status lines: a connected modem, or the port's own outputs looped back. */
static u8 modem_lines(const struct uart16550 *uart)
{
    u8 m = uart->mcr;
    if (!(m & MCR_LOOP))
        return MSR_CONNECTED;
    return (u8)((m & 2) << 3 | (m & 1) << 5 | (m & 4) << 4 | (m & 8) << 4);
}

/* Updates the lines and notes which changed; the ring indicator counts when it ends. */
static void modem_changed(struct uart16550 *uart)
{
    u8 lines = modem_lines(uart), changed = (lines ^ uart->msr) & MSR_LINES;
    if (lines & MSR_RING)
        changed &= (u8)~MSR_RING;
    uart->msr = (u8)(lines | (uart->msr & ~MSR_LINES) | changed >> 4);
}

static void write_fcr(struct uart16550 *uart, u8 value)
{
    if (((value ^ uart->fcr) & FCR_ENABLE) || (value & FCR_CLEAR_RX))
        uart->first = uart->count = 0;
    uart->fcr = value & FCR_ENABLE ? value & 0xc9 : 0;
    fill(uart);
}

static void write_ier(struct uart16550 *uart, u8 value)
{
    if (value & ~uart->ier & IER_EMPTY)
        uart->empty_pending = true;
    uart->ier = value & IER_ALL;
}

static void uart_write(void *opaque, u64 offset, unsigned size, u64 value)
{
    struct uart16550 *uart = opaque;
    u8 byte = (u8)value;
    (void)size;
    if (offset <= IER && (uart->lcr & LCR_DLAB)) {
        uart->divisor[offset] = byte;
        return;
    }
    switch (offset) {
    case RBR_THR:
        transmit(uart, byte);
        break;
    case IER:
        write_ier(uart, byte);
        break;
    case IIR_FCR:
        write_fcr(uart, byte);
        break;
    case LCR:
        uart->lcr = byte;
        break;
    case MCR:
        uart->mcr = byte & MCR_ALL;
        modem_changed(uart);
        fill(uart);
        break;
    case SCR:
        uart->scratch = byte;
        break;
    }
    update_irq(uart);
}

static u8 read_rbr(struct uart16550 *uart)
{
    u8 byte = fifo_pop(uart);
    if (!uart->count)
        fill(uart);
    return byte;
}

static u8 read_iir(struct uart16550 *uart)
{
    u8 id = interrupt(uart);
    if (id == IIR_EMPTY)
        uart->empty_pending = false;
    return uart->fcr & FCR_ENABLE ? id | IIR_FIFO : id;
}

static u8 read_lsr(struct uart16550 *uart)
{
    u8 value = (u8)(uart->lsr | LSR_EMPTY | (uart->count ? LSR_READY : 0));
    uart->lsr = 0;
    return value;
}

static u8 read_msr(struct uart16550 *uart)
{
    u8 value = uart->msr;
    uart->msr &= MSR_LINES;
    return value;
}

static u8 register_read(struct uart16550 *uart, u64 offset)
{
    if (offset <= IER && (uart->lcr & LCR_DLAB))
        return uart->divisor[offset];
    switch (offset) {
    case RBR_THR:
        return read_rbr(uart);
    case IER:
        return uart->ier;
    case IIR_FCR:
        return read_iir(uart);
    case LCR:
        return uart->lcr;
    case MCR:
        return uart->mcr;
    case LSR:
        return read_lsr(uart);
    case MSR:
        return read_msr(uart);
    default:
        return uart->scratch;
    }
}

static u64 uart_read(void *opaque, u64 offset, unsigned size)
{
    u8 value = register_read(opaque, offset);
    (void)size;
    update_irq(opaque);
    return value;
}

static const struct bus_ops uart_ops = {uart_read, uart_write, 1};

static void uart16550_reset(void *device)
{
    struct uart16550 *uart = device;
    uart->ier = uart->fcr = uart->lcr = uart->mcr = uart->lsr = uart->scratch = 0;
    uart->msr = MSR_CONNECTED;
    uart->divisor[0] = 1; /* 115200 baud */
    uart->divisor[1] = 0;
    uart->first = uart->count = 0;
    uart->empty_pending = false;
    update_irq(uart);
}

static void *uart16550_create(const struct device_env *env, const void *config, struct error *err)
{
    struct uart16550 *uart;
    const struct uart16550_config *c = config;
    for (u64 port = c->base; port < c->base + UART_PORTS; port++)
        if (!device_port_free(env, port)) {
            error_set(err, "serial port at %#llx: port %#llx is taken", (unsigned long long)c->base,
                      (unsigned long long)port);
            return NULL;
        }
    uart = xalloc(sizeof(*uart));
    uart->env = env;
    uart->config = *c;
    bus_map_io(env->bus,
               &(struct bus_region){uart->config.base, UART_PORTS, &uart_ops, uart, "uart16550"});
    return uart;
}

static void uart16550_snap(void *device, struct snap *s)
{
    struct uart16550 *uart = device;
    bool *const flags[] = {&uart->empty_pending};
    snap_section(s, "uart16550", 1);
    snap_bytes(s, &uart->ier,
               offsetof(struct uart16550, empty_pending) - offsetof(struct uart16550, ier));
    snap_flags(s, flags, 1);
    snap_range(s, "UART FIFO start", uart->first, 0, FIFO_SIZE - 1);
    snap_range(s, "UART FIFO count", uart->count, 0, FIFO_SIZE);
}

static void uart16550_free(void *device)
{
    struct uart16550 *uart = device;
    bus_unmap_io(uart->env->bus, uart->config.base);
    free(uart);
}

static const struct prop_desc uart16550_props[] = {
    {.name = "base",
     .type = PROP_UINT,
     .preset = "0x3f8",
     .min = 0x200,
     .max = 0x3f8,
     .help = "first of its eight ports"},
    {.name = "irq", .type = PROP_UINT, .preset = "4", .min = 3, .max = 7, .help = "ISA interrupt"},
};
static const size_t uart16550_offsets[] = {offsetof(struct uart16550_config, base),
                                           offsetof(struct uart16550_config, irq)};

const struct device_class uart16550_class = {
    .name = "uart16550",
    .help = "16550A serial port",
    .props = uart16550_props,
    .prop_offsets = uart16550_offsets,
    .prop_count = ARRAY_SIZE(uart16550_props),
    .config_size = sizeof(struct uart16550_config),
    .create = uart16550_create,
    .reset = uart16550_reset,
    .snap = uart16550_snap,
    .free = uart16550_free,
};
