/**
 * Where RMMs may differ, or are known to, and the rule that decides. Data: a difference that no row explains is unknown.
 * "Reference" is TF-RMM at its tags rmm-spec-v1.0-rel0 and tf-rmm-v0.6.0, "own" is realmbox's; DEN0137 is 1.0-rel0.
 */
import type { RmiCommand } from "@realmbox/abi";
import type { Difference } from "./compare.js";

/** Whom the rule agrees with: realmbox's RMM, the other one, or both, since the document leaves it open. */
export type Right = "own" | "other" | "both";

export interface Rule {
  readonly name: string;
  /** What the document says, and what the RMM that is not right does. */
  readonly rule: string;
  readonly citation: string;
  readonly right: Right;
  readonly matches: (difference: Difference) => boolean;
  /** After such a difference the RMMs are in states of their own: what follows is not compared. */
  readonly diverges?: boolean;
}

interface Pattern {
  readonly script?: RegExp;
  readonly command?: RmiCommand;
  /** All fields that differ match. */
  readonly fields?: RegExp;
  readonly first?: RegExp;
  readonly second?: RegExp;
}

const matching =
  ({ script, command, fields, first, second }: Pattern) =>
  (difference: Difference): boolean =>
    (script?.test(difference.script) ?? true) &&
    (command === undefined || command === difference.command) &&
    difference.fields.every(
      (one) =>
        (fields?.test(one.field) ?? true) && (first?.test(one.first) ?? true) && (second?.test(one.second) ?? true),
    );

const row = (rule: Omit<Rule, "matches"> & { readonly when: Pattern }): Rule => {
  const { when, ...rest } = rule;
  return { ...rest, matches: matching(when) };
};

const heading = (text: string): string => `DEN0137 1.0-rel0, "${text}"`;

export const RULES: readonly Rule[] = [
  row({
    name: "aux_count",
    rule: "How many auxiliary granules a REC has is the implementation's.",
    citation: heading("RMI_REC_AUX_COUNT command"),
    right: "both",
    when: { command: "RMI_REC_AUX_COUNT", fields: /^X1$/ },
  }),
  row({
    name: "features",
    rule: "What an RMM supports, within what the platform has, is the implementation's.",
    citation: heading("RMI_FEATURES command"),
    right: "both",
    when: { command: "RMI_FEATURES", fields: /^X1$/ },
  }),
  row({
    name: "rtt_align",
    rule: "rtt_base must be aligned to all start tables together; the reference aligns it to one granule.",
    citation: heading("RMI_REALM_CREATE command, rtt_align"),
    right: "own",
    when: { command: "RMI_REALM_CREATE", fields: /^X0$/, first: /^RMI_ERROR_INPUT$/, second: /^RMI_SUCCESS$/ },
    diverges: true,
  }),
  row({
    name: "realm_config_gaps",
    rule: "Bytes of RsiRealmConfig that are no field are zero; the reference leaves what the Realm had there.",
    citation: heading("RsiRealmConfig type"),
    right: "own",
    when: { script: /^(RMI_REALM_CREATE\/effect\/attributes|RSI_REALM_CONFIG\/effect\/)/, fields: /^gprs\[/ },
    diverges: true,
  }),
  row({
    name: "rec_mmio",
    rule: "emul_mmio needs an emulatable abort as the last exit; one at a Protected IPA is none. The reference looks at EC and ISV alone at its rel0 tag.",
    citation: heading("RMI_REC_ENTER command, rec_mmio"),
    right: "own",
    when: {
      command: "RMI_REC_ENTER",
      fields: /^X0$/,
      first: /^RMI_ERROR_REC$/,
      second: /^RMI_SUCCESS, /,
    },
    diverges: true,
  }),
  row({
    name: "read_destroyed",
    rule: "An ASSIGNED entry shows its address whatever its RIPAS is; the reference shows none for DESTROYED at its rel0 tag.",
    citation: heading("RMI_RTT_READ_ENTRY command"),
    right: "own",
    when: { command: "RMI_RTT_READ_ENTRY", fields: /^X3$/, second: /^0x0$/ },
  }),
  row({
    name: "top_gran_align",
    rule: "top must be a multiple of the granule; the reference takes one that is not.",
    citation: heading("RMI_RTT_SET_RIPAS command, top_gran_align"),
    right: "own",
    when: {
      command: "RMI_RTT_SET_RIPAS",
      fields: /^X0$/,
      first: /^RMI_ERROR_INPUT$/,
      second: /^RMI_(SUCCESS|ERROR_RTT)/,
    },
    diverges: true,
  }),
  row({
    name: "sea_syndrome",
    rule: "A Synchronous External Abort taken to EL1 has no instruction syndrome (ISV 0); the reference passes on the syndrome of the stage 2 fault.",
    citation: 'DDI 0487, "ISS encoding for an exception from a Data Abort", ISV',
    right: "own",
    when: {
      command: "RMI_REC_ENTER",
      fields: /^gprs\[0\]$/,
      first: /96000210$/,
    },
  }),
  row({
    name: "psci_denied_runnable",
    rule: "A command that fails changes nothing; the reference answers PSCI_CPU_ON all the same when it refuses PSCI_DENIED for a runnable target.",
    citation: heading("RMI_PSCI_COMPLETE command, status"),
    right: "own",
    when: {
      command: "RMI_PSCI_COMPLETE",
      fields: /^X0$/,
      first: /^RMI_SUCCESS$/,
      second: /^RMI_ERROR_INPUT$/,
    },
    diverges: true,
  }),
  row({
    name: "cpu_on_gprs",
    rule: "A CPU that is turned on finds its context in X0 and zero in the other registers; the reference writes X0 alone.",
    citation: heading("PSCI_CPU_ON command"),
    right: "own",
    when: { script: /^RMI_PSCI_COMPLETE\/effect\/cpu_on/, command: "RMI_REC_ENTER", fields: /^gprs\[/ },
  }),
  row({
    name: "refused_measurement",
    rule: "Only X0 of a command that fails is defined.",
    citation: heading("RSI_MEASUREMENT_READ command"),
    right: "both",
    when: { script: /^RSI_MEASUREMENT_READ\/index_bound/, fields: /^gprs\[[5-9]\]$/ },
  }),
  row({
    name: "token_pace",
    rule: "How much of the token one call makes, and how long signing it takes, is the implementation's: RSI_INCOMPLETE may come at any time.",
    citation: heading("RSI_ATTESTATION_TOKEN_CONTINUE command"),
    right: "both",
    when: { script: /^RSI_ATTESTATION_TOKEN_/ },
    diverges: true,
  }),
  row({
    name: "host_call_imm",
    rule: "RsiHostCall.imm and RmiRecExit.imm have 16 bits, what follows them in the record is zero; the reference copies 32.",
    citation: heading("RsiHostCall type"),
    right: "own",
    when: { script: /^RSI_HOST_CALL\//, fields: /^end$/, second: /at 0x602, which MBZ/ },
  }),
  row({
    name: "host_call_abort",
    rule: "An exit by which a host call cannot complete is an exit like others: hpfar holds the page of the address, as HPFAR_EL2 does, and the GIC and timer fields are filled. The reference's hpfar has bits of the structure's offset, and the other fields are zero.",
    citation: heading("RmiRecExit type"),
    right: "own",
    when: {
      script: /^(RSI_HOST_CALL\/|random\/)/,
      command: "RMI_REC_ENTER",
      fields: /^(hpfar|gicv3_(hcr|vmcr|lrs\[\d+\])|cnt[pv]_c(tl|val))$/,
    },
  }),
  row({
    name: "host_call_structure_gone",
    rule: "Whether the host call's answer is a refusal or the call is made again, when its structure has become EMPTY meanwhile, is open.",
    citation: heading("RSI_HOST_CALL command"),
    right: "both",
    when: { script: /^RSI_HOST_CALL\/effect\/structure_empty/, fields: /^gprs\[1\]$/ },
  }),
  row({
    name: "unprotected_level_bound",
    rule: "The level of RMI_RTT_UNMAP_UNPROTECTED is at least the Realm's start level; the reference walks outside of its tables, meets a granule protection fault, and panics.",
    citation: heading("RMI_RTT_UNMAP_UNPROTECTED command, level_bound"),
    right: "own",
    when: { script: /UNPROTECTED\/level_bound\/start/, fields: /^end$/, second: /^no end after/ },
  }),
  row({
    name: "beyond_ipa",
    rule: "An access beyond the IPA space is an Address size fault to the Realm; the reference injects a Synchronous External Abort.",
    citation: heading("Realm exceptions"),
    right: "own",
    when: { script: /beyond_ipa/, command: "RMI_REC_ENTER", fields: /^gprs\[0\]$/, first: /9600000\d$/ },
  }),
  row({
    name: "abort_without_syndrome",
    rule: "far is zero for an abort that cannot be emulated; the reference fills it when the syndrome is not valid.",
    citation: heading("RmiRecExit type"),
    right: "own",
    when: { script: /no_syndrome/, command: "RMI_REC_ENTER", fields: /^(far|esr|gprs\[0\])$/ },
  }),
  row({
    name: "time",
    rule: "The counter's value depends on how long the RMM takes.",
    citation: 'DDI 0487, "The Generic Timer in AArch64 state"',
    right: "both",
    when: { script: /^REC exit\/effect\/(fires_|asserted_|counters)/, command: "RMI_REC_ENTER", fields: /^gprs\[1\]$/ },
    diverges: true,
  }),
  row({
    name: "id_registers",
    rule: "ID registers describe what the Realm has; the reference shows the machine's PMU and breakpoints, whatever the Realm's parameters are.",
    citation: heading("Realm feature discovery"),
    right: "own",
    when: {
      script: /^Realm registers\/effect\/(id_registers|breakpoints|no_pmu)/,
      command: "RMI_REC_ENTER",
      fields: /^gprs\[1\]$/,
    },
    diverges: true,
  }),
  row({
    name: "undefined_hvc",
    rule: "The return address of an UNDEFINED instruction is the instruction; the reference passes on that of HVC, the next one.",
    citation: 'DDI 0487, "Preferred exception return address"',
    right: "own",
    when: { script: /psci_by_hvc/, command: "RMI_REC_ENTER", fields: /^gprs\[1\]$/ },
  }),
  row({
    name: "several_pes",
    rule: "Which PE comes first depends on how long the RMM takes: either order is right.",
    citation: heading("Command execution"),
    right: "both",
    when: { script: /^Several PEs\// },
    diverges: true,
  }),
];

/** The row that explains a difference; undefined: it is unknown. */
export const ruleFor = (difference: Difference): Rule | undefined => RULES.find((rule) => rule.matches(difference));
