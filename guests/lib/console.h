/* Console on the UART of the device tree, and printf. */
#ifndef GUEST_CONSOLE_H
#define GUEST_CONSOLE_H

#include <stdarg.h>
#include <stdint.h>

/* Maps the UART (at its shared alias in a realm). Before it, and without a UART, output is dropped. */
void console_init(void);
void console_write(const char *text, uint32_t length);

/*
 * %c %s %d %u %x %p %%, with l, ll or z, width, '-' and '0'. One call's text of up to 512 bytes appears in one piece,
 * also with several CPUs; what is longer is cut.
 */
__attribute__((format(printf, 1, 2))) void printf(const char *format, ...);
__attribute__((format(printf, 1, 0))) void vprintf(const char *format, va_list arguments);
__attribute__((format(printf, 3, 4))) uint32_t snprintf(char *buffer, uint32_t size, const char *format, ...);

/* "00ff.." without separators or line end. */
void print_hex(const uint8_t *bytes, uint32_t size);

#endif
