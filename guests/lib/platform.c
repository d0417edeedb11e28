/*
 * Reads the device tree that kvmtool, QEMU's virt machine and realmbox write. Device addresses in it are plain IPAs;
 * in a realm the caller adds the shared bit (realm.h).
 */
#include "platform.h"

#include "dtb.h"
#include "string.h"

struct platform platform;

/* What the second pass needs to find the console: /chosen stdout-path, with its alias resolved. */
struct console_path {
  char alias[64], path[DTB_PATH_MAX];
};

static void copy_string(struct dtb_property property, char *to, uint32_t size) {
  uint32_t length = property.size < size ? property.size : size - 1;
  memcpy(to, property.data != 0 ? property.data : (const uint8_t *)"", length);
  to[length] = 0;
}

static void visit_chosen(const struct dtb_node *node, struct console_path *console) {
  copy_string(dtb_property(node, "bootargs"), platform.bootargs, sizeof platform.bootargs);
  platform.initrd_start = dtb_number(dtb_property(node, "linux,initrd-start"));
  platform.initrd_end = dtb_number(dtb_property(node, "linux,initrd-end"));
  copy_string(dtb_property(node, "stdout-path"), console->path, sizeof console->path);
  for (char *c = console->path; *c != 0; c++)
    if (*c == ':') *c = 0; /* options follow, such as ":115200n8" */
  if (console->path[0] != '/') {
    memcpy(console->alias, console->path, sizeof console->alias - 1);
    console->path[0] = 0;
  }
}

static void visit_first(const struct dtb_node *node, void *context) {
  struct console_path *console = context;
  uint64_t address, size;
  if (strcmp(node->path, "/chosen") == 0) {
    visit_chosen(node, console);
  } else if (strncmp(node->path, "/cpus/", 6) == 0 && dtb_has_string(node, "device_type", "cpu")) {
    if (platform.cpu_count < NR_CPUS && dtb_reg(node, 0, &address, &size))
      platform.cpu_mpidr[platform.cpu_count] = address;
    platform.cpu_count++;
  } else if (dtb_has_string(node, "device_type", "memory")) {
    if (platform.ram_size == 0 && dtb_reg(node, 0, &address, &size)) {
      platform.ram_base = address;
      platform.ram_size = size;
    }
  } else if (dtb_has_string(node, "compatible", "arm,psci-0.2") || dtb_has_string(node, "compatible", "arm,psci-1.0")) {
    platform.psci = dtb_has_string(node, "method", "smc")   ? CONDUIT_SMC
                    : dtb_has_string(node, "method", "hvc") ? CONDUIT_HVC
                                                            : CONDUIT_NONE;
  } else if (dtb_has_string(node, "compatible", "arm,gic-v3")) {
    platform.gicv3 = dtb_reg(node, 0, &platform.gicd_base, &platform.gicd_size) &&
                     dtb_reg(node, 1, &platform.gicr_base, &platform.gicr_size);
  } else if (dtb_has_string(node, "compatible", "arm,armv8-timer")) {
    /* Third triple: the virtual timer; type 1 = PPI, numbered from INTID 16. */
    platform.timer_intid = 16 + dtb_u32(dtb_property(node, "interrupts"), 7);
  }
}

static void visit_aliases(const struct dtb_node *node, void *context) {
  struct console_path *console = context;
  if (strcmp(node->path, "/aliases") == 0 && console->alias[0] != 0)
    copy_string(dtb_property(node, console->alias), console->path, sizeof console->path);
}

static void visit_uart(const struct dtb_node *node, void *context) {
  const struct console_path *console = context;
  enum uart_kind kind =
      dtb_has_string(node, "compatible", "ns16550a") || dtb_has_string(node, "compatible", "ns16550") ? UART_NS16550
      : dtb_has_string(node, "compatible", "arm,pl011")                                               ? UART_PL011
                                                                                                      : UART_NONE;
  uint64_t size;
  if (kind == UART_NONE || (platform.uart != UART_NONE && strcmp(node->path, console->path) != 0)) return;
  if (!dtb_reg(node, 0, &platform.uart_base, &size)) return;
  platform.uart = kind; /* the first one, unless stdout-path names another */
  platform.uart_shift = dtb_u32(dtb_property(node, "reg-shift"), 0);
}

bool platform_init(uint64_t dtb) {
  const void *blob = (const void *)dtb;
  struct console_path console = {"", ""};
  platform.dtb = dtb;
  platform.dtb_size = dtb_size(blob);
  return dtb_walk(blob, visit_first, &console) && dtb_walk(blob, visit_aliases, &console) &&
         dtb_walk(blob, visit_uart, &console) && platform.ram_size != 0;
}

bool bootarg(const char *name, char *value, uint64_t size) {
  uint64_t length = strlen(name);
  for (const char *word = platform.bootargs; *word != 0;) {
    if (strncmp(word, name, length) == 0 && word[length] == '=') {
      uint64_t i = 0;
      for (word += length + 1; word[i] != 0 && word[i] != ' ' && i + 1 < size; i++) value[i] = word[i];
      value[i] = 0;
      return true;
    }
    while (*word != 0 && *word != ' ') word++;
    while (*word == ' ') word++;
  }
  return false;
}

uint64_t bootarg_number(const char *name, uint64_t otherwise) {
  char text[24];
  if (!bootarg(name, text, sizeof text)) return otherwise;
  const char *c = text;
  uint64_t value = 0, base = 10;
  if (c[0] == '0' && c[1] == 'x') {
    base = 16;
    c += 2;
  }
  for (; *c != 0; c++) {
    uint64_t digit = *c >= '0' && *c <= '9' ? (uint64_t)(*c - '0')
                     : *c >= 'a' && *c <= 'f' ? (uint64_t)(*c - 'a' + 10)
                                              : 16;
    if (digit >= base) return otherwise;
    value = value * base + digit;
  }
  return value;
}
