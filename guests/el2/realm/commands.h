/* What the program in a realm can be told to do. The Host answers its host calls: X0 the command, X1 to X3 arguments. */
#ifndef EL2_REALM_COMMANDS_H
#define EL2_REALM_COMMANDS_H

enum realm_command {
  REALM_ECHO = 1,   /* result: X1 + 1 */
  REALM_LOAD,       /* result: the 64 bits at X1 */
  REALM_STORE,      /* X2 to the 32 bits at X1 */
  REALM_EXECUTE,    /* calls X1 */
  REALM_WFI,        /* one WFI */
  REALM_WFE,        /* WFE until it has waited once */
  REALM_SPIN,       /* until the 64 bits at X1, in the shared half, are X2 */
  REALM_SMC,        /* SMC with X0 to X3 = X1, X2, X3, 0; result: X0 */
  REALM_HVC,        /* HVC */
  REALM_SET_RIPAS,  /* RSI_IPA_STATE_SET of [X1, X2) to X3 */
  REALM_GET_RIPAS,  /* RSI_IPA_STATE_GET of X1; result: RIPAS */
  REALM_CPU_ON,     /* PSCI CPU_ON of MPIDR X1 at the program's start, context X2 */
  REALM_TAKE_IRQS,  /* takes X1 virtual interrupts; result: the last INTID */
  REALM_VTIMER,     /* arms CNTV for X1 ticks from now and spins until its interrupt; result: INTID */
  REALM_IPA_WIDTH,  /* RSI_REALM_CONFIG; result: ipa_width */
  REALM_MPIDR,      /* result: MPIDR_EL1 */
};

/* Immediate of the program's host calls; their X0 is the last command's result, X1 the ESR of its exception, X2 the FAR. */
#define REALM_HOST_CALL_IMM 0x51

#endif
