/* Output on UART2 of the FVP (PL011), where the compliance suites speak. */
#ifndef EL2_CONSOLE_H
#define EL2_CONSOLE_H

#include <stdarg.h>

/* Before the MMU is on; the page is then mapped by mmu_boot. */
void console_init(void);

/* %s %c %d %u %x with a width and a leading zero, l for 64 bits. A call's text is not broken up by other PEs'. */
__attribute__((format(printf, 1, 2))) void printf(const char *format, ...);
void vprintf(const char *format, va_list arguments);

#endif
