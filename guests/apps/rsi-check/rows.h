/*
 * Every expectation of rsi-check: id, name on the console, expected value. Statuses are those of DEN0137 1.0-rel0
 * ("RSI commands", failure conditions) and DEN0022; a row that compares memory or a range expects 1 (true). `fault`
 * rows expect exception class << 8 | fault status, or NO_FAULT.
 *
 * PSCI and SMCCC results are signed. A row whose name ends in "(SMP)" needs a second CPU.
 */
#ifndef RSI_CHECK_ROWS_H
#define RSI_CHECK_ROWS_H

#define FAULT(class, status) ((class) << 8 | (status))
#define NO_FAULT 0xffff

#define ROWS(ROW)                                                                         \
  /* What any SMC does. */                                                                \
  ROW(SMCCC_AT_LEAST_1_2, "SMCCC_VERSION is 1.2 or later", 1)                             \
  ROW(FID_BELOW, "FID 0xC400018F", -1)                                                    \
  ROW(FID_LAST, "FID 0xC40001AF", -1)                                                     \
  ROW(FID_SMC32, "FID 0x84000190", -1)                                                    \
  ROW(FID_RMI_VERSION, "FID of RMI_VERSION", -1)                                          \
  ROW(FID_RMI_REC_ENTER, "FID of RMI_REC_ENTER", -1)                                      \
  ROW(FID_TRNG, "FID of TRNG_VERSION", -1)                                                \
  ROW(FID_CHANNEL, "FID of the guest channel, by SMC", -1)                                \
  ROW(FID_UPPER_HALF, "X0[63:32] does not matter", RSI_SUCCESS)                           \
  ROW(FID_HINT, "SVE hint bit of the FID does not matter", RSI_SUCCESS)                   \
  ROW(UNKNOWN_KEEPS, "unknown FID keeps X4 to X30", 1)                                    \
  ROW(KNOWN_KEEPS, "RSI_VERSION keeps X4 to X30", 1)                                      \
  ROW(HVC_FAULT, "HVC is undefined", FAULT(EC_UNKNOWN, 0))                                \
  ROW(HVC_ELR, "ELR_EL1 is the HVC", 1)                                                   \
  /* RSI_VERSION, RSI_FEATURES. */                                                        \
  ROW(VERSION_1_0, "RSI_VERSION 1.0", RSI_SUCCESS)                                        \
  ROW(VERSION_1_0_LOWER, "RSI_VERSION 1.0: lower", 0x10000)                               \
  ROW(VERSION_1_0_HIGHER, "RSI_VERSION 1.0: higher is not below", 1)                      \
  ROW(VERSION_0_0, "RSI_VERSION 0.0", RSI_ERROR_INPUT)                                    \
  ROW(VERSION_0_0_SAME, "RSI_VERSION 0.0: lower = higher", 1)                             \
  ROW(VERSION_MAX, "RSI_VERSION 32767.65535", RSI_ERROR_INPUT)                            \
  ROW(VERSION_MAX_BELOW, "RSI_VERSION 32767.65535: lower is below", 1)                    \
  ROW(FEATURES_0, "RSI_FEATURES 0", RSI_SUCCESS)                                          \
  ROW(FEATURES_0_VALUE, "RSI_FEATURES 0: value", 0)                                       \
  ROW(FEATURES_MAX, "RSI_FEATURES 2^64 - 1", RSI_SUCCESS)                                 \
  ROW(FEATURES_MAX_VALUE, "RSI_FEATURES 2^64 - 1: value", 0)                              \
  /* RSI_REALM_CONFIG. */                                                                 \
  ROW(CONFIG, "RSI_REALM_CONFIG", RSI_SUCCESS)                                            \
  ROW(CONFIG_WIDTH, "RSI_REALM_CONFIG: IPA width is 32 to 52", 1)                         \
  ROW(CONFIG_HASH, "RSI_REALM_CONFIG: a hash algorithm of 1.0", 1)                        \
  ROW(CONFIG_ZERO, "RSI_REALM_CONFIG: the rest is zero", 1)                               \
  ROW(CONFIG_ALIGN, "RSI_REALM_CONFIG not aligned", RSI_ERROR_INPUT)                      \
  ROW(CONFIG_UNPROTECTED, "RSI_REALM_CONFIG unprotected", RSI_ERROR_INPUT)                \
  ROW(CONFIG_BEYOND, "RSI_REALM_CONFIG beyond the IPA space", RSI_ERROR_INPUT)            \
  ROW(CONFIG_EMPTY, "RSI_REALM_CONFIG in EMPTY", RSI_ERROR_INPUT)                         \
  ROW(CONFIG_UNTOUCHED, "RSI_REALM_CONFIG in a page not touched yet", RSI_SUCCESS)        \
  /* RSI_MEASUREMENT_READ, RSI_MEASUREMENT_EXTEND. */                                     \
  ROW(READ_RIM, "RSI_MEASUREMENT_READ RIM", RSI_SUCCESS)                                  \
  ROW(READ_RIM_VALUE, "RIM is not zero", 1)                                               \
  ROW(READ_UPPER, "RIM and REMs: zero beyond the digest", 1)                              \
  ROW(READ_REMS, "RSI_MEASUREMENT_READ REM 1 to 4", RSI_SUCCESS)                          \
  ROW(READ_REMS_ZERO, "REMs begin as zero", 1)                                            \
  ROW(READ_5, "RSI_MEASUREMENT_READ 5", RSI_ERROR_INPUT)                                  \
  ROW(READ_MAX, "RSI_MEASUREMENT_READ 2^64 - 1", RSI_ERROR_INPUT)                         \
  ROW(EXTEND_0, "RSI_MEASUREMENT_EXTEND 0", RSI_ERROR_INPUT)                              \
  ROW(EXTEND_5, "RSI_MEASUREMENT_EXTEND 5", RSI_ERROR_INPUT)                              \
  ROW(EXTEND_MAX, "RSI_MEASUREMENT_EXTEND 2^32 + 1", RSI_ERROR_INPUT)                     \
  ROW(EXTEND_65, "RSI_MEASUREMENT_EXTEND 65 bytes", RSI_ERROR_INPUT)                      \
  ROW(EXTEND_HUGE, "RSI_MEASUREMENT_EXTEND 2^32 bytes", RSI_ERROR_INPUT)                  \
  ROW(EXTEND_REFUSED, "refused extensions change nothing", 1)                             \
  ROW(EXTEND_1, "RSI_MEASUREMENT_EXTEND 1 byte", RSI_SUCCESS)                             \
  ROW(EXTEND_1_VALUE, "REM 1 = H(REM 1 | 1 byte)", 1)                                     \
  ROW(EXTEND_64, "RSI_MEASUREMENT_EXTEND 64 bytes", RSI_SUCCESS)                          \
  ROW(EXTEND_64_VALUE, "REM 2 = H(REM 2 | 64 bytes)", 1)                                  \
  ROW(EXTEND_EMPTY, "RSI_MEASUREMENT_EXTEND 0 bytes", RSI_SUCCESS)                        \
  ROW(EXTEND_EMPTY_VALUE, "REM 3 = H(REM 3)", 1)                                          \
  ROW(EXTEND_TWICE, "RSI_MEASUREMENT_EXTEND 33 bytes, twice", RSI_SUCCESS)                \
  ROW(EXTEND_TWICE_VALUE, "REM 4 = H(H(REM 4 | 33) | 33)", 1)                             \
  ROW(EXTEND_RIM, "extensions leave the RIM", 1)                                          \
  /* RSI_HOST_CALL. */                                                                    \
  ROW(HOST_UNKNOWN, "RSI_HOST_CALL, function unknown to the Host", RSI_SUCCESS)           \
  ROW(HOST_UNKNOWN_X0, "RSI_HOST_CALL: gprs[0]", -1)                                      \
  ROW(HOST_KEEPS, "RSI_HOST_CALL keeps X1 to X17", 1)                                     \
  ROW(HOST_IMM, "RSI_HOST_CALL leaves imm", 1)                                            \
  ROW(HOST_SMCCC, "RSI_HOST_CALL SMCCC_VERSION: 1.1 or later", 1)                         \
  ROW(HOST_INSIDE, "RSI_HOST_CALL at offset 0xF00 of a page", RSI_SUCCESS)                \
  ROW(HOST_ALIGN, "RSI_HOST_CALL not aligned", RSI_ERROR_INPUT)                           \
  ROW(HOST_UNPROTECTED, "RSI_HOST_CALL unprotected", RSI_ERROR_INPUT)                     \
  ROW(HOST_BEYOND, "RSI_HOST_CALL beyond the IPA space", RSI_ERROR_INPUT)                 \
  ROW(HOST_EMPTY, "RSI_HOST_CALL in EMPTY", RSI_ERROR_INPUT)                              \
  ROW(HOST_UNTOUCHED, "RSI_HOST_CALL in a page not touched yet", RSI_SUCCESS)             \
  /* RSI_IPA_STATE_GET. */                                                                \
  ROW(GET_RAM, "RSI_IPA_STATE_GET of RAM", RSI_SUCCESS)                                   \
  ROW(GET_RAM_RIPAS, "RSI_IPA_STATE_GET of RAM: RIPAS", RSI_RAM)                          \
  ROW(GET_RAM_TOP, "RSI_IPA_STATE_GET of RAM: top", 1)                                    \
  ROW(GET_DEVICE, "RSI_IPA_STATE_GET of the UART", RSI_SUCCESS)                           \
  ROW(GET_DEVICE_RIPAS, "RSI_IPA_STATE_GET of the UART: RIPAS", RSI_EMPTY)                \
  ROW(GET_BASE_ALIGN, "RSI_IPA_STATE_GET base not aligned", RSI_ERROR_INPUT)              \
  ROW(GET_TOP_ALIGN, "RSI_IPA_STATE_GET top not aligned", RSI_ERROR_INPUT)                \
  ROW(GET_EQUAL, "RSI_IPA_STATE_GET top = base", RSI_ERROR_INPUT)                         \
  ROW(GET_BELOW, "RSI_IPA_STATE_GET top below base", RSI_ERROR_INPUT)                     \
  ROW(GET_BASE_UNPROTECTED, "RSI_IPA_STATE_GET unprotected", RSI_ERROR_INPUT)             \
  ROW(GET_CROSSING, "RSI_IPA_STATE_GET across the halves", RSI_ERROR_INPUT)               \
  ROW(GET_UP_TO_HALF, "RSI_IPA_STATE_GET of the last protected page", RSI_SUCCESS)        \
  ROW(GET_BEYOND, "RSI_IPA_STATE_GET beyond the IPA space", RSI_ERROR_INPUT)              \
  /* RSI_IPA_STATE_SET: refusals. */                                                      \
  ROW(SET_BASE_ALIGN, "RSI_IPA_STATE_SET base not aligned", RSI_ERROR_INPUT)              \
  ROW(SET_TOP_ALIGN, "RSI_IPA_STATE_SET top not aligned", RSI_ERROR_INPUT)                \
  ROW(SET_EQUAL, "RSI_IPA_STATE_SET top = base", RSI_ERROR_INPUT)                         \
  ROW(SET_BELOW, "RSI_IPA_STATE_SET top below base", RSI_ERROR_INPUT)                     \
  ROW(SET_UNPROTECTED, "RSI_IPA_STATE_SET unprotected", RSI_ERROR_INPUT)                  \
  ROW(SET_CROSSING, "RSI_IPA_STATE_SET across the halves", RSI_ERROR_INPUT)               \
  ROW(SET_BEYOND, "RSI_IPA_STATE_SET beyond the IPA space", RSI_ERROR_INPUT)              \
  ROW(SET_DESTROYED, "RSI_IPA_STATE_SET to DESTROYED", RSI_ERROR_INPUT)                   \
  ROW(SET_RIPAS_3, "RSI_IPA_STATE_SET to RIPAS 3", RSI_ERROR_INPUT)                       \
  ROW(SET_REFUSED, "refused changes leave the content", 1)                                \
  /* RSI_IPA_STATE_SET: changes, and what follows. */                                     \
  ROW(SET_RAM_RAM, "RSI_IPA_STATE_SET of RAM to RAM", RSI_SUCCESS)                        \
  ROW(SET_RAM_RAM_BASE, "RSI_IPA_STATE_SET of RAM to RAM: new base", 1)                   \
  ROW(SET_RAM_RAM_RESPONSE, "RSI_IPA_STATE_SET of RAM to RAM: response", RSI_ACCEPT)      \
  ROW(SET_RAM_RAM_CONTENT, "RSI_IPA_STATE_SET of RAM to RAM: content stays", 1)           \
  ROW(SET_EMPTY, "RSI_IPA_STATE_SET to EMPTY", RSI_SUCCESS)                               \
  ROW(SET_EMPTY_RIPAS, "RSI_IPA_STATE_SET to EMPTY: RIPAS", RSI_EMPTY)                    \
  ROW(SET_EMPTY_NEIGHBOURS, "RSI_IPA_STATE_SET to EMPTY: neighbours stay RAM", 1)         \
  ROW(EMPTY_READ, "read of EMPTY", FAULT(EC_DATA_ABORT, FSC_EXTERNAL_ABORT))              \
  ROW(EMPTY_READ_FAR, "read of EMPTY: FAR_EL1", 1)                                        \
  ROW(EMPTY_WRITE, "write to EMPTY", FAULT(EC_DATA_ABORT, FSC_EXTERNAL_ABORT))            \
  ROW(EMPTY_WRITE_WNR, "write to EMPTY: ESR_EL1.WnR", 1)                                  \
  ROW(EMPTY_EXECUTE, "fetch from EMPTY", FAULT(EC_INSTRUCTION_ABORT, FSC_EXTERNAL_ABORT)) \
  ROW(SHARED_WRITE, "write to the shared alias", NO_FAULT)                                \
  ROW(SHARED_READ, "read of the shared alias", 1)                                         \
  ROW(SHARED_EXECUTE, "fetch from the shared alias", FAULT(EC_INSTRUCTION_ABORT, FSC_EXTERNAL_ABORT)) \
  ROW(SET_RAM, "RSI_IPA_STATE_SET to RAM", RSI_SUCCESS)                                   \
  ROW(SET_RAM_RIPAS, "RSI_IPA_STATE_SET to RAM: RIPAS", RSI_RAM)                          \
  ROW(SET_RAM_READ, "read of RAM again", NO_FAULT)                                        \
  ROW(SET_RAM_ZERO, "RAM again: old content is gone", 1)                                  \
  ROW(SET_LARGE, "RSI_IPA_STATE_SET of 4 MiB to EMPTY and back", RSI_SUCCESS)             \
  ROW(SET_LARGE_ZERO, "4 MiB: all pages usable", 1)                                       \
  ROW(DEVICE_PROTECTED, "UART at its protected address", FAULT(EC_DATA_ABORT, FSC_EXTERNAL_ABORT)) \
  ROW(DEVICE_NOBODY, "read of a device that nobody has", FAULT(EC_DATA_ABORT, FSC_EXTERNAL_ABORT)) \
  ROW(BEYOND_READ, "read beyond the IPA space: address size fault", 1)                    \
  /* RSI_ATTESTATION_TOKEN_INIT, RSI_ATTESTATION_TOKEN_CONTINUE. */                       \
  ROW(TOKEN_NO_INIT, "TOKEN_CONTINUE without INIT", RSI_ERROR_STATE)                      \
  ROW(TOKEN_INIT, "TOKEN_INIT", RSI_SUCCESS)                                              \
  ROW(TOKEN_ALIGN, "TOKEN_CONTINUE not aligned", RSI_ERROR_INPUT)                         \
  ROW(TOKEN_UNPROTECTED, "TOKEN_CONTINUE unprotected", RSI_ERROR_INPUT)                   \
  ROW(TOKEN_BEYOND, "TOKEN_CONTINUE beyond the IPA space", RSI_ERROR_INPUT)               \
  ROW(TOKEN_EMPTY, "TOKEN_CONTINUE to EMPTY", RSI_ERROR_INPUT)                            \
  ROW(TOKEN_OFFSET, "TOKEN_CONTINUE offset 4096", RSI_ERROR_INPUT)                        \
  ROW(TOKEN_SIZE, "TOKEN_CONTINUE offset 1, size 4096", RSI_ERROR_INPUT)                  \
  ROW(TOKEN_WRAP, "TOKEN_CONTINUE offset 1, size 2^64 - 1", RSI_ERROR_INPUT)              \
  ROW(TOKEN_REFUSED_X1, "refused TOKEN_CONTINUE: X1", 0)                                  \
  ROW(TOKEN_SIZE_0, "TOKEN_CONTINUE size 0", RSI_INCOMPLETE)                              \
  ROW(TOKEN_SIZE_0_X1, "TOKEN_CONTINUE size 0: X1", 0)                                    \
  ROW(TOKEN_WHOLE, "TOKEN_CONTINUE until done", RSI_SUCCESS)                              \
  ROW(TOKEN_BOUND, "token is not larger than INIT said", 1)                               \
  ROW(TOKEN_AFTER, "TOKEN_CONTINUE after the end", RSI_ERROR_STATE)                       \
  ROW(TOKEN_PIECES, "TOKEN_CONTINUE in pieces of 100 bytes", RSI_SUCCESS)                 \
  ROW(TOKEN_PIECES_SIZE, "pieces: same size as the whole", 1)                             \
  ROW(TOKEN_PIECES_CANARY, "pieces: nothing written beyond X1 bytes", 1)                  \
  ROW(TOKEN_UNTOUCHED, "TOKEN_CONTINUE to a page not touched yet", RSI_SUCCESS)           \
  ROW(TOKEN_OTHER_REC, "TOKEN_CONTINUE on another CPU than INIT (SMP)", RSI_ERROR_STATE)  \
  ROW(TOKEN_COLLECTION, "token: tag 399, platform and realm token", 1)                    \
  ROW(TOKEN_PLATFORM_COSE, "platform token: COSE_Sign1", 1)                               \
  ROW(TOKEN_REALM_COSE, "realm token: COSE_Sign1", 1)                                     \
  ROW(TOKEN_CHALLENGE, "realm token: challenge of the second INIT", 1)                    \
  ROW(TOKEN_RIM, "realm token: RIM as RSI_MEASUREMENT_READ", 1)                           \
  ROW(TOKEN_REMS, "realm token: REMs as RSI_MEASUREMENT_READ", 1)                         \
  ROW(TOKEN_RPV, "realm token: RPV as RSI_REALM_CONFIG", 1)                               \
  ROW(TOKEN_HASH, "realm token: hash algorithm as RSI_REALM_CONFIG", 1)                   \
  ROW(TOKEN_RAK, "realm token: public key and its hash algorithm", 1)                     \
  ROW(TOKEN_BINDING, "platform token: challenge = hash of the public key", 1)             \
  /* PSCI in a realm. */                                                                  \
  ROW(PSCI_AT_LEAST_1_1, "PSCI_VERSION is 1.1 or later", 1)                               \
  ROW(PSCI_HAS_SUSPEND, "PSCI_FEATURES CPU_SUSPEND", 0)                                   \
  ROW(PSCI_HAS_OFF, "PSCI_FEATURES CPU_OFF", 0)                                           \
  ROW(PSCI_HAS_ON, "PSCI_FEATURES CPU_ON", 0)                                             \
  ROW(PSCI_HAS_AFFINITY, "PSCI_FEATURES AFFINITY_INFO", 0)                                \
  ROW(PSCI_HAS_SYSTEM_OFF, "PSCI_FEATURES SYSTEM_OFF", 0)                                 \
  ROW(PSCI_HAS_SYSTEM_RESET, "PSCI_FEATURES SYSTEM_RESET", 0)                             \
  ROW(PSCI_HAS_FEATURES, "PSCI_FEATURES PSCI_FEATURES", 0)                                \
  ROW(PSCI_HAS_SMCCC, "PSCI_FEATURES SMCCC_VERSION", 0)                                   \
  ROW(PSCI_HAS_MIGRATE, "PSCI_FEATURES MIGRATE", -1)                                      \
  ROW(PSCI_HAS_RSI, "PSCI_FEATURES RSI_VERSION", -1)                                      \
  ROW(PSCI_MIGRATE, "MIGRATE", -1)                                                        \
  ROW(PSCI_FREEZE, "CPU_FREEZE", -1)                                                      \
  ROW(PSCI_SYSTEM_SUSPEND, "SYSTEM_SUSPEND", -1)                                          \
  ROW(PSCI_SYSTEM_RESET2, "SYSTEM_RESET2", -1)                                            \
  ROW(PSCI_KEEPS, "PSCI keeps X4 to X30, X1 to X3 are zero", 1)                           \
  ROW(PSCI_ON_SELF, "CPU_ON of the caller", PSCI_ALREADY_ON)                              \
  ROW(PSCI_ON_NOBODY, "CPU_ON of no CPU", PSCI_INVALID_PARAMETERS)                        \
  ROW(PSCI_ON_UNPROTECTED, "CPU_ON at an unprotected entry", PSCI_INVALID_ADDRESS)        \
  ROW(PSCI_ON_BEYOND, "CPU_ON at an entry beyond the IPA space", PSCI_INVALID_ADDRESS)    \
  ROW(PSCI_INFO_SELF, "AFFINITY_INFO of the caller", AFFINITY_ON)                         \
  ROW(PSCI_INFO_NOBODY, "AFFINITY_INFO of no CPU", PSCI_INVALID_PARAMETERS)               \
  ROW(PSCI_INFO_LEVEL, "AFFINITY_INFO level 1", PSCI_INVALID_PARAMETERS)                  \
  ROW(PSCI_INFO_BEFORE, "AFFINITY_INFO before CPU_ON (SMP)", AFFINITY_OFF)                \
  ROW(PSCI_ON, "CPU_ON (SMP)", PSCI_SUCCESS)                                              \
  ROW(PSCI_ON_CONTEXT, "CPU_ON: context in X0, other registers zero (SMP)", 1)            \
  ROW(PSCI_ON_AGAIN, "CPU_ON of a CPU that runs (SMP)", PSCI_ALREADY_ON)                  \
  ROW(PSCI_INFO_ON, "AFFINITY_INFO after CPU_ON (SMP)", AFFINITY_ON)                      \
  ROW(PSCI_INFO_AFTER, "AFFINITY_INFO after CPU_OFF (SMP)", AFFINITY_OFF)                 \
  ROW(PSCI_SUSPEND, "CPU_SUSPEND until the timer fires", PSCI_SUCCESS)                    \
  ROW(PSCI_SUSPEND_TIME, "CPU_SUSPEND lasted until the timer fired", 1)                   \
  ROW(PSCI_SUSPEND_IRQ, "CPU_SUSPEND: the interrupt is pending", 1)

enum row_id {
#define ROW_ID(id, name, expected) ROW_##id,
  ROWS(ROW_ID)
#undef ROW_ID
  ROW_COUNT
};

#endif
