/* UART drivers (ns16550A with kvmtool's byte registers, PL011 of QEMU's virt machine) and output formatting. */
#include "console.h"

#include "arch.h"
#include "mmu.h"
#include "platform.h"
#include "realm.h"
#include "spinlock.h"
#include "string.h"

/* ns16550A registers, in units of the register distance, and bits. */
enum { THR = 0, IER = 1, FCR = 2, LCR = 3, MCR = 4, LSR = 5 };
enum { LSR_THRE = 0x20, LCR_8N1 = 3, FCR_ENABLE_AND_CLEAR = 7, MCR_DTR_RTS = 3, FIFO_SIZE = 16 };
/* PL011 (DDI 0183): byte offsets and bits. */
enum { UARTDR = 0x00, UARTFR = 0x18, FR_TXFF = 0x20 };

static uint64_t uart; /* 0: no console */
static struct spinlock lock;

static uint64_t uart_register(uint32_t index) { return uart + ((uint64_t)index << platform.uart_shift); }

void console_init(void) {
  if (platform.uart == UART_NONE) return;
  uart = device_map(platform.uart_base, PAGE_SIZE);
  if (uart == 0 || platform.uart != UART_NS16550) return;
  mmio_write8(uart_register(LCR), LCR_8N1); /* first: with DLAB set the others are not what they seem */
  mmio_write8(uart_register(IER), 0);
  mmio_write8(uart_register(FCR), FCR_ENABLE_AND_CLEAR);
  mmio_write8(uart_register(MCR), MCR_DTR_RTS); /* and no loopback */
}

void console_write(const char *text, uint32_t length) {
  if (uart == 0) return;
  for (uint32_t i = 0; i < length;) {
    if (platform.uart == UART_PL011) {
      while ((mmio_read32(uart + UARTFR) & FR_TXFF) != 0) {
      }
      mmio_write32(uart + UARTDR, (uint8_t)text[i++]);
    } else {
      /*
       * An empty holding register means an empty FIFO: a burst fits. In a realm each access costs an exit to the
       * Host.
       */
      while ((mmio_read8(uart_register(LSR)) & LSR_THRE) == 0) {
      }
      for (uint32_t burst = 0; burst < FIFO_SIZE && i < length; burst++)
        mmio_write8(uart_register(THR), (uint8_t)text[i++]);
    }
  }
}

struct output {
  char *buffer;
  uint32_t size, length;
};

static void put(struct output *out, char c) {
  if (out->length < out->size) out->buffer[out->length++] = c;
}

static void put_padded(struct output *out, const char *text, uint32_t length, uint32_t width, bool left) {
  for (uint32_t i = length; !left && i < width; i++) put(out, ' ');
  for (uint32_t i = 0; i < length; i++) put(out, text[i]);
  for (uint32_t i = length; left && i < width; i++) put(out, ' ');
}

static void format_to(struct output *out, const char *f, va_list arguments) {
  for (; *f != 0; f++) {
    if (*f != '%') {
      put(out, *f);
      continue;
    }
    bool left = false, zero = false, wide = false;
    uint32_t width = 0;
    for (f++; *f == '-' || *f == '0'; f++) *f == '-' ? (left = true) : (zero = true);
    for (; *f >= '0' && *f <= '9'; f++) width = width * 10 + (uint32_t)(*f - '0');
    for (; *f == 'l' || *f == 'z'; f++) wide = true;

    char digits[24];
    uint32_t length = 0, base = 10;
    uint64_t value;
    bool negative = false;
    switch (*f) {
      case 'c':
        digits[0] = (char)va_arg(arguments, int);
        put_padded(out, digits, 1, width, left);
        continue;
      case 's': {
        const char *text = va_arg(arguments, const char *);
        put_padded(out, text, (uint32_t)strlen(text), width, left);
        continue;
      }
      case 'd': {
        int64_t number = wide ? va_arg(arguments, int64_t) : va_arg(arguments, int);
        negative = number < 0;
        value = negative ? -(uint64_t)number : (uint64_t)number;
        break;
      }
      case 'u':
        value = wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
        break;
      case 'p':
        wide = true;
        __attribute__((fallthrough));
      case 'x':
        value = wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
        base = 16;
        break;
      case 0:
        return;
      default:
        put(out, *f);
        continue;
    }
    do {
      digits[sizeof digits - ++length] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0 || (zero && length < width && length < sizeof digits - 1));
    if (negative) digits[sizeof digits - ++length] = '-';
    put_padded(out, digits + sizeof digits - length, length, width, left);
  }
}

void vprintf(const char *format, va_list arguments) {
  char buffer[512];
  struct output out = {buffer, sizeof buffer, 0};
  format_to(&out, format, arguments);
  spin_lock(&lock);
  console_write(buffer, out.length);
  spin_unlock(&lock);
}

void printf(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
}

uint32_t snprintf(char *buffer, uint32_t size, const char *format, ...) {
  struct output out = {buffer, size - 1, 0};
  va_list arguments;
  va_start(arguments, format);
  format_to(&out, format, arguments);
  va_end(arguments);
  buffer[out.length] = 0;
  return out.length;
}

void print_hex(const uint8_t *bytes, uint32_t size) {
  char text[256];
  uint32_t length = 0;
  for (uint32_t i = 0; i < size && length + 2 <= sizeof text; i++) {
    text[length++] = "0123456789abcdef"[bytes[i] >> 4];
    text[length++] = "0123456789abcdef"[bytes[i] & 15];
  }
  spin_lock(&lock);
  console_write(text, length);
  spin_unlock(&lock);
}
