/* Constants shared by assembly, C and link.ld: places on Arm's FVP Base platform, and structure offsets. */
#ifndef EL2_LAYOUT_H
#define EL2_LAYOUT_H

/* Where TF-A's fvp platform puts BL33. Only the ELF loads there by need; the flat image relocates itself. */
#define LINK_BASE 0x88000000

#define NR_PES 8
#define STACK_SIZE 0x4000

/* struct exception_frame (exception.h): X0 to X30, ELR, SPSR, ESR, FAR, SP at the exception. */
#define FRAME_SIZE 288

/* Offsets in struct pe (pe.h), checked there. */
#define PE_STACK_TOP 0
#define PE_PROBE 8
#define PE_GUEST 16
#define PE_HOST_SP 24

/* Offsets in struct guest (guest.h), checked there: X0 to X30 come first. */
#define GUEST_ELR 248
#define GUEST_SPSR 256
#define GUEST_ESR 264
#define GUEST_FAR 272
#define GUEST_HPFAR 280

/* HVC immediates of the EL1 side. */
#define HVC_DONE 0xd0
#define HVC_FAULT 0xd1

#endif
