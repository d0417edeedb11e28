/* What boot.S and main.c agree on. */
#ifndef PROBE_LAYOUT_H
#define PROBE_LAYOUT_H

#define CPUS_MAX 4
#define STACK_SHIFT 12

/* RMM-EL3 Communication Specification. */
#define SMC_RMI_REQ_COMPLETE 0xc400018f
#define SMC_RMM_BOOT_COMPLETE 0xc40001cf

/* HCR_EL2: AArch64 below, VHE, PAuth not trapped; for itself TGE, for what it runs TSC and all interrupts. */
#define HCR_COMMON ((1 << 31) | (1 << 34) | (3 << 40))
#define HCR_RMM (HCR_COMMON | (1 << 27))
#define HCR_REALM (HCR_COMMON | (1 << 19) | (7 << 3))

#endif
