/*
 * Accesses to memory and registers that are not this guest's. All are probed: each either works or ends in an
 * exception here; anything else is for the machine to catch.
 */
#include "cases.h"
#include "lib/arch.h"
#include "lib/channel.h"
#include "lib/console.h"
#include "lib/dtb.h"
#include "lib/exception.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/platform.h"
#include "lib/random.h"
#include "lib/realm.h"
#include "lib/smp.h"
#include "lib/start.h"
#include "lib/string.h"
#include "librsi/rsi.h"

enum { RET = 0xd65f03c0 };
#define SECRET 0x7465726365732121ull /* "!!secret" */

static bool inside(uint64_t ipa, uint64_t base, uint64_t size) { return ipa >= base && ipa - base < size; }

/* Maps the page of `ipa` at the window; the address to use there. */
static uint64_t window(uint64_t ipa, enum mmu_attributes attributes) {
  mmu_map(MMU_WINDOW, ipa & ~(PAGE_SIZE - 1), PAGE_SIZE, attributes);
  return MMU_WINDOW + ipa % PAGE_SIZE;
}

/* --- memory --- */

/*
 * Random IPAs of every magnitude, in both halves and beyond, never this guest's own RAM nor its alias (touching that
 * asks the Host to share the page). In the protected half of a realm nothing but RAM may answer.
 */
int case_memory(void) {
  struct random random = {bootarg_number("seed", 0)};
  uint64_t count = bootarg_number("n", 2000), answered = 0, faults = 0, leaks = 0;
  uint64_t pa_bits[] = {32, 36, 40, 42, 44, 48}, range = read_sysreg(id_aa64mmfr0_el1) & 0xf;
  uint64_t mask = (1ull << pa_bits[range < 5 ? range : 5]) - 1;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t ipa = random_next(&random) & mask, value = 0;
    ipa = ipa >> random_below(&random, 40) & ~7ull; /* small ones as often as large ones */
    if (random_below(&random, 4) == 0) ipa |= realm.shared;
    if (inside(ipa & ~realm.shared, platform.ram_base, platform.ram_size)) continue;
    /* An MMIO device may change its state when read: those have a case of their own. */
    if (!realm.present && ipa < platform.ram_base) continue;
    if (realm.present && inside(ipa, realm.shared, platform.ram_base)) continue;
    uint64_t va = window(ipa, MMU_DATA);
    bool worked = probe_read64(va, &value);
    if (worked && value == SECRET) leaks++;
    if (worked && realm.present && ipa < realm.shared) leaks++;
    worked = probe_write64(va, random_next(&random)) && worked;
    worked ? answered++ : faults++;
  }
  printf("hostile: %lu answered, %lu faults, %lu leaks\n", answered, faults, leaks);
  return leaks == 0 ? STATUS_OK : STATUS_FAILED;
}

int case_touch(void) {
  uint64_t ipa = bootarg_number("at", 0), op = bootarg_number("op", 0), value = 0;
  bool finished = op == 2   ? probe_execute(window(ipa & ~3ull, MMU_CODE))
                  : op == 1 ? probe_write64(window(ipa & ~7ull, MMU_DATA), SECRET)
                            : probe_read64(window(ipa & ~7ull, MMU_DATA), &value);
  const struct fault *fault = &cpu_current()->fault;
  if (finished)
    printf("hostile: 0x%lx answered, value %016lx\n", ipa, value);
  else
    printf("hostile: 0x%lx faulted, ESR 0x%lx FAR 0x%lx\n", ipa, fault->esr, fault->far);
  return STATUS_OK;
}

int case_execute(void) {
  uint64_t page = memory_pages(1), alias = page | realm.shared;
  if (!realm.present) {
    printf("hostile: not in a realm\n");
    return STATUS_USAGE;
  }
  uint64_t status = rsi_ipa_state_set_range(page, page + PAGE_SIZE, RSI_EMPTY, RSI_CHANGE_DESTROYED);
  if (status != RSI_SUCCESS) return STATUS_FAILED;
  if (!probe_write64(window(alias, MMU_DATA), RET)) return STATUS_FAILED;
  bool finished = probe_execute(window(alias, MMU_CODE));
  if (finished)
    printf("hostile: shared memory was executed\n");
  else
    printf("hostile: shared memory was not executed, ESR 0x%lx\n", cpu_current()->fault.esr);
  return finished ? STATUS_FAILED : STATUS_OK;
}

/*
 * Writes a secret to a page, tells the Host the page's IPA by a call that no VMM knows (gprs[0] = 0xC6000F80, gprs[1]
 * = IPA), and reads the page. A Host that destroys the page at that call must see an abort, and the secret must not
 * come back.
 */
int case_destroyed(void) {
  uint64_t count = bootarg_number("n", 1), lost = 0;
  for (uint64_t i = 0; i < count; i++) {
    uint64_t page = memory_pages(1), value = 0;
    for (uint64_t offset = 0; offset < PAGE_SIZE; offset += 8) *(volatile uint64_t *)(page + offset) = SECRET;
    struct smccc_registers call = {{0xc6000f80, page}};
    channel_call(&call);
    if (!probe_read64(page, &value) || value != SECRET) lost++;
  }
  printf("hostile: %lu of %lu pages lost\n", lost, count);
  return STATUS_OK;
}

/* --- devices --- */

enum { SPOIL_MAX = 0x1000000, /* bytes of one device */ PAIR = 1 };

struct garbage {
  struct random random;
  uint64_t count, answered, faults;
  bool pairs; /* STP too: no hypervisor can emulate it, KVM's VMMs end a normal VM for it */
};

static uint64_t access_device(uint64_t address, uint64_t bits) {
  uint64_t size = bits & 3, value = bits >> 8;
  if ((bits & 4) != 0)
    return size == 0   ? mmio_read8(address)
           : size == 1 ? mmio_read8(address + 1)
           : size == 2 ? mmio_read32(address)
                       : mmio_read64(address);
  switch (size) {
    case 0:
      mmio_write8(address, (uint8_t)value);
      break;
    case PAIR:
      __asm__ volatile("stp %1, %1, [%0]" ::"r"(address), "r"(value) : "memory");
      break;
    case 2:
      mmio_write32(address, (uint32_t)value);
      break;
    default:
      mmio_write64(address, value);
  }
  dsb_sy();
  return 0;
}

static void spoil_range(struct garbage *garbage, const char *path, uint64_t base, uint64_t size) {
  uint64_t device = device_map(base, size);
  if (device == 0) return;
  uint64_t answered = garbage->answered, faults = garbage->faults, unused;
  /* Every register of the first page, then as many random ones. */
  uint64_t first = size < PAGE_SIZE ? size : PAGE_SIZE;
  for (uint64_t i = 0; i < first / 4 + garbage->count; i++) {
    uint64_t offset = i < first / 4 ? 4 * i : random_below(&garbage->random, size) & ~7ull;
    uint64_t bits = random_next(&garbage->random);
    if (!garbage->pairs && (bits & 7) == PAIR) bits ^= PAIR;
    bool worked = probe_call(access_device, device + offset, bits, &unused);
    worked ? garbage->answered++ : garbage->faults++;
  }
  console_init(); /* the UART may have been one of them */
  printf("hostile: %s at 0x%lx: %lu answered, %lu faults\n", path, device, garbage->answered - answered,
         garbage->faults - faults);
}

static void spoil_node(const struct dtb_node *node, void *context) {
  uint64_t base, size;
  bool memory = dtb_has_string(node, "device_type", "memory"), cpu = strncmp(node->path, "/cpus", 5) == 0;
  if (memory || cpu) return;
  for (uint32_t i = 0; dtb_reg(node, i, &base, &size) && size != 0; i++)
    if (!inside(platform.ram_base, base, size)) spoil_range(context, node->path, base, size < SPOIL_MAX ? size : SPOIL_MAX);
}

int case_devices(void) {
  struct garbage garbage = {{bootarg_number("seed", 0)}, bootarg_number("n", 200), 0, 0, bootarg_number("pairs", 0) != 0};
  irq_mask();
  dtb_walk((const void *)platform.dtb, spoil_node, &garbage);
  return STATUS_OK;
}

/* --- system registers --- */

/* Writes that would take the ground from under this program: control, translation, stack, vectors, thread pointer. */
static bool is_vital(uint32_t op0, uint32_t op1, uint32_t crn, uint32_t crm, uint32_t op2) {
  if (op0 != 3) return true; /* debug registers: reads only */
  if (op1 != 0 && op1 != 3) return true;
  if (crn == 12 && crm == 11) return true; /* SGI registers: the other CPUs are off */
  return crn == 1 || crn == 2 || crn == 4 || crn == 10 || (crn == 12 && crm == 0) || (crn == 13 && op1 == 0 && op2 == 4);
}

static uint64_t call_code(uint64_t address, uint64_t value) {
  register uint64_t x0 __asm__("x0") = value;
  __asm__ volatile("blr %1" : "+r"(x0) : "r"(address) : "x30", "memory");
  return x0;
}

/* MRS X0 or MSR X0, then RET, in a page that is data here and code at the window. */
static bool run_sysreg(volatile uint32_t *code, uint32_t instruction, uint64_t *value) {
  code[0] = instruction;
  code[1] = RET;
  __asm__ volatile("dc cvau, %0\n\tdsb ish\n\tic ivau, %1\n\tdsb ish\n\tisb" ::"r"(code), "r"(MMU_WINDOW) : "memory");
  return probe_call(call_code, MMU_WINDOW, *value, value);
}

int case_sysregs(void) {
  struct random random = {bootarg_number("seed", 0)};
  uint64_t page = memory_pages(1), reads = 0, undefined = 0, writes = 0, refused = 0;
  irq_mask();
  mmu_map(MMU_WINDOW, page, PAGE_SIZE, MMU_CODE);
  for (uint32_t encoding = 0; encoding < 1 << 15; encoding++) {
    uint32_t op0 = 2 + (encoding >> 14), op1 = encoding >> 11 & 7, crn = encoding >> 7 & 15, crm = encoding >> 3 & 15;
    uint32_t op2 = encoding & 7;
    uint32_t fields = op0 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5;
    uint64_t value = 0;
    run_sysreg((volatile uint32_t *)page, 0xd5200000 | fields, &value) ? reads++ : undefined++;
    if (is_vital(op0, op1, crn, crm, op2)) continue;
    value = random_next(&random);
    run_sysreg((volatile uint32_t *)page, 0xd5000000 | fields, &value) ? writes++ : refused++;
  }
  printf("hostile: %lu reads, %lu undefined; %lu writes, %lu refused\n", reads, undefined, writes, refused);
  return STATUS_OK;
}
