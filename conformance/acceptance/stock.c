/*
 * A realm program that shares nothing with the project's guests: written against DEN0137 and the memory map alone, for any
 * AArch64 C compiler. The MMU stays off. It asks how wide its IPA space is, greets on the UART in the Unprotected half, and
 * reports exit status 42 over the guest channel.
 */
typedef unsigned long u64;
typedef unsigned char u8;

u64 smc(u64 fid, u64 x1);

static u8 page[4096] __attribute__((aligned(4096)));

enum { UART = 0x1000000, RSI_VERSION = 0xc4000190, RSI_REALM_CONFIG = 0xc4000196, RSI_HOST_CALL = 0xc4000199 };

static volatile u8 *uart;

static void print(const char *text) {
  while (*text) *uart = (u8)*text++;
}

int stock_main(u64 device_tree) {
  if (smc(RSI_VERSION, 0x10000) != 0 || smc(RSI_REALM_CONFIG, (u64)page) != 0) return 1;
  u64 width = *(volatile u64 *)page;
  uart = (volatile u8 *)(UART | 1ul << (width - 1));
  print("stock compiler: in a realm of ");
  char digits[3] = {(char)('0' + width / 10), (char)('0' + width % 10), 0};
  print(digits);
  print(*(volatile unsigned *)device_tree == 0xedfe0dd0 ? " bits, with a device tree\n" : " bits\n");
  /* RsiHostCall: imm at 0, gprs from 8 on. */
  *(volatile u64 *)page = 0;
  *(volatile u64 *)(page + 8) = 0xc6000f00;
  *(volatile u64 *)(page + 16) = 42;
  smc(RSI_HOST_CALL, (u64)page);
  return 1;
}
