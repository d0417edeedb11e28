/* See console.h. PL011 registers: DDI 0183. */
#include "console.h"

#include <stdbool.h>
#include <stdint.h>

#include "../lib/arch.h"
#include "../lib/spinlock.h"
#include "../lib/string.h"
#include "devices.h"

enum { UARTDR = 0x00, UARTFR = 0x18, UARTIBRD = 0x24, UARTFBRD = 0x28, UARTLCR_H = 0x2c, UARTCR = 0x30 };
enum { FR_TXFF = 1 << 5, LCR_8_BITS_FIFO = 0x70, CR_TX_ENABLED = 0x101 };

static struct spinlock lock;

void console_init(void) {
  mmio_write32(UART2 + UARTCR, 0);
  mmio_write32(UART2 + UARTIBRD, 13); /* 115200 baud from 24 MHz */
  mmio_write32(UART2 + UARTFBRD, 1);
  mmio_write32(UART2 + UARTLCR_H, LCR_8_BITS_FIFO);
  mmio_write32(UART2 + UARTCR, CR_TX_ENABLED);
}

static void put(char c) {
  while ((mmio_read32(UART2 + UARTFR) & FR_TXFF) != 0) {
  }
  mmio_write32(UART2 + UARTDR, (uint8_t)c);
  if (c == '\n') put('\r');
}

static void put_padded(const char *text, uint32_t length, uint32_t width) {
  for (uint32_t i = length; i < width; i++) put(' ');
  for (uint32_t i = 0; i < length; i++) put(text[i]);
}

static void format_all(const char *f, va_list arguments) {
  for (; *f != 0; f++) {
    if (*f != '%') {
      put(*f);
      continue;
    }
    bool zero = false, wide = false, negative = false;
    uint32_t width = 0, length = 0, base = 10;
    for (f++; *f == '0'; f++) zero = true;
    for (; *f >= '0' && *f <= '9'; f++) width = width * 10 + (uint32_t)(*f - '0');
    for (; *f == 'l'; f++) wide = true;
    char digits[24];
    uint64_t value = 0;
    switch (*f) {
      case 'c':
        put((char)va_arg(arguments, int));
        continue;
      case 's': {
        const char *text = va_arg(arguments, const char *);
        put_padded(text, (uint32_t)strlen(text), width);
        continue;
      }
      case 'd': {
        int64_t number = wide ? va_arg(arguments, int64_t) : va_arg(arguments, int);
        negative = number < 0;
        value = negative ? -(uint64_t)number : (uint64_t)number;
        break;
      }
      case 'x':
        base = 16;
        __attribute__((fallthrough));
      case 'u':
        value = wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
        break;
      case 0:
        return;
      default:
        put(*f);
        continue;
    }
    do {
      digits[sizeof digits - ++length] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0 || (zero && length < width && length < sizeof digits - 1));
    if (negative) digits[sizeof digits - ++length] = '-';
    put_padded(digits + sizeof digits - length, length, width);
  }
}

void vprintf(const char *format, va_list arguments) {
  spin_lock(&lock);
  format_all(format, arguments);
  spin_unlock(&lock);
}

void printf(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
}
