/* Constants shared by assembly, C and link.ld. */
#ifndef GUEST_LAYOUT_H
#define GUEST_LAYOUT_H

/*
 * Link address: RAM base of kvmtool's arm64 machine. Only the ELF loads there by need; the flat image relocates
 * itself.
 */
#define LINK_BASE 0x80000000

#define NR_CPUS 8
#define STACK_SIZE 0x4000

/* struct exception_frame (exception.h): X0 to X30, ELR, SPSR, ESR, FAR, SP at the exception. */
#define FRAME_SIZE 288

/* Offsets in struct cpu (smp.h), checked there. */
#define CPU_STACK_TOP 0
#define CPU_PROBE 8

#endif
