/*
 * The probe's boot and its commands. RMI_VERSION, RMI_GRANULE_DELEGATE and RMI_GRANULE_UNDELEGATE are what they are in
 * DEN0137; RMI_REC_ENTER runs a program of a few instructions at R-EL1; RMI_FEATURES gives what the probe has seen, an
 * observation for each index. Every other command is refused.
 */
#include <stdint.h>

#include "layout.h"


enum {
  RMI_VERSION = 0xc4000150,
  RMI_GRANULE_DELEGATE = 0xc4000151,
  RMI_GRANULE_UNDELEGATE = 0xc4000152,
  RMI_REC_ENTER = 0xc400015c,
  RMI_FEATURES = 0xc4000165,
  GTSI_DELEGATE = 0xc40001b0,
  GTSI_UNDELEGATE = 0xc40001b1,
  GET_REALM_KEY = 0xc40001b2,
  GET_PLAT_TOKEN = 0xc40001b3,
};

enum { RMI_SUCCESS = 0, RMI_ERROR_INPUT = 1 };
enum { ABI_VERSION = 0x10000, CHALLENGE_SIZE = 32, PAGE_SIZE = 4096, WORDS_PER_PAGE = PAGE_SIZE / 8 };

/* Status of RMM_BOOT_COMPLETE. */
enum {
  BOOT_SUCCESS = 0,
  BOOT_VERSION_NOT_VALID = -2,
  BOOT_CPUS_OUT_OF_RANGE = -3,
  BOOT_INVALID_SHARED_BUFFER = -5,
  BOOT_MANIFEST_VERSION = -6,
  BOOT_MANIFEST_DATA = -7,
};

struct list {
  uint64_t count, array, checksum;
};

struct manifest {
  uint32_t version, padding;
  uint64_t plat_data;
  struct list dram, consoles;
};

/* Words of an entry. */
enum { DRAM_BANK_WORDS = 2, CONSOLE_WORDS = 6 };

static struct {
  uint64_t arguments[4]; /* of the last boot of this CPU */
  uint64_t boots;
} cpus[CPUS_MAX];

static uint64_t checks, key_size, token_size, token_left;
static struct manifest *manifest;

uint64_t probe_boot(uint64_t cpu, uint64_t version, uint64_t count, uint64_t shared, uint64_t is_cold);
void probe_command(uint64_t *x, uint64_t cpu);
uint64_t run_realm(uint64_t x0, uint64_t *el);
uint64_t pauth_works(void);

#define read_register(name)                                                                                            \
  ({                                                                                                                   \
    uint64_t value_;                                                                                                   \
    __asm__ volatile("mrs %0, " name : "=r"(value_));                                                                  \
    value_;                                                                                                            \
  })
#define write_register(name, value)                                                                                    \
  do {                                                                                                                 \
    uint64_t value_ = (value);                                                                                         \
    __asm__ volatile("msr " name ", %0\n\tisb" : : "r"(value_));                                                       \
  } while (0)
/* Whether a register of EL2 keeps what is written to it. */
#define keeps(name, value) ({ write_register(name, value); read_register(name) == (value); })

static uint64_t el3(uint64_t *x1, uint64_t *x2, uint64_t fid, uint64_t a1, uint64_t a2, uint64_t a3) {
  register uint64_t r0 __asm__("x0") = fid;
  register uint64_t r1 __asm__("x1") = a1;
  register uint64_t r2 __asm__("x2") = a2;
  register uint64_t r3 __asm__("x3") = a3;
  /* SMC #0, which the assembler of a generic CPU does not know. */
  __asm__ volatile(".inst 0xd4000003" : "+r"(r0), "+r"(r1), "+r"(r2), "+r"(r3) : : "memory");
  if (x1 != 0) *x1 = r1;
  if (x2 != 0) *x2 = r2;
  return r0;
}

/* Count, pointer, every word and the checksum add up to zero. */
static int adds_up(const struct list *list, unsigned words) {
  const uint64_t *array = (const uint64_t *)list->array;
  uint64_t sum = list->count + list->array + list->checksum;
  for (uint64_t i = 0; i < list->count * words; i++) sum += array[i];
  return sum == 0;
}

static uint64_t architecture(void) {
  uint64_t bits = 0;
  /* CNTPOFF_EL2, HCRX_EL2, VSESR_EL2: what an RMM writes whatever the ID registers say. */
  bits |= (uint64_t)keeps("s3_4_c14_c0_6", 0x1000UL) << 0;
  write_register("s3_4_c14_c0_6", 0);
  bits |= (uint64_t)keeps("s3_4_c1_c2_2", 0UL) << 1;
  bits |= (uint64_t)keeps("s3_4_c5_c2_3", 0x1ffUL) << 2;
  /* VHE: EL1's name is EL2's register, EL1's own has another name. */
  write_register("s3_5_c12_c0_0", 0x12340800); /* VBAR_EL12 */
  uint64_t vectors = read_register("vbar_el1");
  bits |= (uint64_t)(vectors != 0x12340800 && vectors == read_register("vbar_el2")) << 3;
  bits |= pauth_works() << 4;
  write_register("s3_3_c4_c2_5", 1 << 24); /* DIT */
  bits |= (uint64_t)(read_register("s3_3_c4_c2_5") == 1 << 24) << 5;
  __asm__ volatile(".inst 0xd50330ff"); /* SB */
  /* Small tables, PAuth and SB are there. */
  bits |= (uint64_t)((read_register("id_aa64mmfr2_el1") >> 28 & 15) == 1) << 6;
  bits |= (uint64_t)((read_register("id_aa64isar1_el1") >> 8 & 15) == 1) << 7;
  return bits;
}

uint64_t probe_boot(uint64_t cpu, uint64_t version, uint64_t count, uint64_t shared, uint64_t is_cold) {
  cpus[cpu].arguments[0] = cpu;
  cpus[cpu].arguments[1] = version;
  cpus[cpu].arguments[2] = count;
  cpus[cpu].arguments[3] = shared;
  cpus[cpu].boots++;
  if (!is_cold) return BOOT_SUCCESS;

  if (version >> 16 != 0 || (version & 0xffff) < 3) return BOOT_VERSION_NOT_VALID;
  if (count == 0 || count > CPUS_MAX) return BOOT_CPUS_OUT_OF_RANGE;
  if (shared == 0 || shared % PAGE_SIZE != 0) return BOOT_INVALID_SHARED_BUFFER;
  manifest = (struct manifest *)shared;
  if (manifest->version >> 16 != 0 || (manifest->version & 0xffff) < 3) return BOOT_MANIFEST_VERSION;
  if (manifest->dram.count == 0 || !adds_up(&manifest->dram, DRAM_BANK_WORDS)) return BOOT_MANIFEST_DATA;
  if (manifest->consoles.count != 0 && !adds_up(&manifest->consoles, CONSOLE_WORDS)) return BOOT_MANIFEST_DATA;

  checks = architecture();
  /* The key and the token come into the second half of the shared page; the manifest stays. */
  uint64_t buffer = shared + PAGE_SIZE / 2;
  if (el3(&key_size, 0, GET_REALM_KEY, buffer, PAGE_SIZE / 2, 0) != 0) key_size = 0;
  if (el3(&token_size, &token_left, GET_PLAT_TOKEN, buffer, PAGE_SIZE / 2, CHALLENGE_SIZE) != 0) token_size = 0;
  return BOOT_SUCCESS;
}

static uint64_t observation(uint64_t index, uint64_t cpu) {
  const uint64_t *bank = (const uint64_t *)manifest->dram.array;
  const uint64_t *console = (const uint64_t *)manifest->consoles.array;
  switch (index) {
    case 0: return 48; /* S2SZ, as RMI_FEATURES has it */
    case 1 ... 4: return cpus[cpu].arguments[index - 1];
    case 5: return cpus[cpu].boots;
    case 6: return manifest->version;
    case 7: return bank[0];
    case 8: return bank[1];
    case 9: return manifest->consoles.count == 0 ? 0 : console[0];
    case 10: return checks;
    case 11: return key_size;
    case 12: return token_size + token_left;
    case 13: return read_register("CurrentEL") >> 2;
    default: return 0;
  }
}

static uint64_t transition(uint64_t fid, uint64_t pa) {
  if (el3(0, 0, fid, pa, 0, 0) != 0) return RMI_ERROR_INPUT;
  if (fid == GTSI_DELEGATE) {
    /* Translation is off: the address is one of the Realm's physical address space. */
    volatile uint64_t *words = (volatile uint64_t *)pa;
    for (unsigned i = 0; i < WORDS_PER_PAGE; i++) words[i] = 0;
  }
  return RMI_SUCCESS;
}

/* In: X0 to X7 of the command. Out: X0 to X4 of its caller, whose X4 comes back unless it is a result. */
void probe_command(uint64_t *x, uint64_t cpu) {
  uint64_t result[4] = {0, 0, 0, 0};
  switch (x[0]) {
    case RMI_VERSION:
      result[0] = x[1] == ABI_VERSION ? RMI_SUCCESS : RMI_ERROR_INPUT;
      result[1] = result[2] = ABI_VERSION;
      break;
    case RMI_FEATURES:
      result[1] = observation(x[1], cpu);
      break;
    case RMI_GRANULE_DELEGATE:
      result[0] = transition(GTSI_DELEGATE, x[1]);
      break;
    case RMI_GRANULE_UNDELEGATE:
      result[0] = transition(GTSI_UNDELEGATE, x[1]);
      break;
    case RMI_REC_ENTER:
      result[1] = run_realm(x[1], &result[2]);
      break;
    default:
      result[0] = (uint64_t)-1;
  }
  for (unsigned i = 0; i < 4; i++) x[i] = result[i];
}
