/** RMI_VERSION, RMI_FEATURES, and calls that do not exist. */
import { RMI_ABI_VERSION_1_0, RMI_FID, SMCCC_NOT_SUPPORTED } from "@realmbox/abi";
import { features, type Host, type Script } from "../../driver/index.js";
import { type ConformanceCase, DEN0137, effects } from "../case.js";
import { check, equal, refused } from "../check.js";

const REVISION = (1n << 31n) - 1n;
const isRevision = (value: bigint): boolean => (value & ~REVISION) === 0n;

function incompatible(name: string, req: bigint, what: string): ConformanceCase {
  return {
    id: `RMI_VERSION/incompat_lower/${name}`,
    command: "RMI_VERSION",
    kind: "failure",
    citation: `${DEN0137}, "RMI_VERSION command", failure condition incompat_lower`,
    preconditions: `The requested revision is ${what}`,
    conditions: ["RMI_VERSION/incompat_lower"],
    *run(host: Host) {
      const answer = yield* host.rmi("RMI_VERSION", req);
      refused(host, answer, { status: "RMI_ERROR_INPUT", condition: "incompat_lower" });
      const [lower, higher] = answer.out;
      check(isRevision(lower!) && isRevision(higher!), "lower and higher are RmiInterfaceVersion");
      equal(lower, RMI_ABI_VERSION_1_0, "lower");
      check(higher! >= lower!, "higher is not below lower");
    },
  };
}

/** The RMM must be one that has revision 1.0 and none else. */
function* onlyVersion(host: Host): Script<string | undefined> {
  const { out } = yield* host.rmi("RMI_VERSION", RMI_ABI_VERSION_1_0);
  return out[1] === RMI_ABI_VERSION_1_0 ? undefined : "the RMM has revisions above 1.0";
}

/** Identifiers within the range that DEN0137 1.0 leaves free, and above its last command. */
const FREE_FIDS = [0xc400_0156n, 0xc400_0160n, 0xc400_0163n, 0xc400_016an, 0xc400_018en];

export const versionCases: readonly ConformanceCase[] = [
  { ...incompatible("major", 0x2_0000n, "2.0"), skip: onlyVersion },
  { ...incompatible("minor", 0x1_0001n, "1.1"), skip: onlyVersion },
  { ...incompatible("sbz", RMI_ABI_VERSION_1_0 | (1n << 31n), "1.0 with bit 31 set"), skip: onlyVersion },
  { ...incompatible("below", 0x0_0001n, "0.1, below all that there are"), skip: onlyVersion },
  ...effects("RMI_VERSION", "RMI_VERSION command", {
    compatible: [
      "The requested revision is 1.0",
      function* (host) {
        const [lower, higher] = yield* host.ok("RMI_VERSION", RMI_ABI_VERSION_1_0);
        equal(lower, RMI_ABI_VERSION_1_0, "lower");
        check(isRevision(higher!) && higher! >= lower!, "higher is a revision that is not below lower");
      },
    ],
    selects_nothing: [
      "A refused request is followed by a command",
      function* (host) {
        yield* host.rmi("RMI_VERSION", 0x7fff_0000n);
        yield* host.ok("RMI_FEATURES", 0n);
      },
    ],
  }),
  ...effects("RMI_FEATURES", "RMI_FEATURES command", {
    register_0: [
      "Feature register 0: values that every Realm needs",
      function* (host) {
        const f = yield* features(host);
        equal(f.MBZ, 0n, "bits 63:42");
        check(f.S2SZ >= 32n && f.S2SZ <= 52n, `S2SZ ${f.S2SZ} is a width of IPA`);
        check(f.NUM_BPS > 0n && f.NUM_WPS > 0n, "NUM_BPS and NUM_WPS are not the reserved value 0");
        check(f.HASH_SHA_256 === 1n || f.HASH_SHA_512 === 1n, "there is a hash algorithm");
        check(f.MAX_RECS_ORDER > 0n, "a Realm may have a REC");
      },
    ],
    other_registers: [
      "Feature registers above 0 read zero",
      function* (host) {
        for (const index of [1n, 2n, 1n << 63n])
          equal((yield* host.ok("RMI_FEATURES", index))[0], 0n, `register ${index}`);
      },
    ],
  }),
  ...effects("RMI", "SMC interface, unallocated function identifiers", {
    unknown_fid: [
      "A function identifier of the RMI range that is no command",
      function* (host) {
        for (const fid of FREE_FIDS)
          equal((yield* host.smc(fid))[0], SMCCC_NOT_SUPPORTED, `X0 of 0x${fid.toString(16)}`);
      },
    ],
    sve_hint: [
      "A command with the SVE hint, bit 16 of the function identifier",
      function* (host) {
        const [x0, x1] = yield* host.smc(RMI_FID.RMI_VERSION | 0x1_0000n, RMI_ABI_VERSION_1_0);
        equal(x0, 0n, "X0");
        equal(x1, RMI_ABI_VERSION_1_0, "X1");
      },
    ],
    preserved: [
      "A command that returns X0 to X2 leaves X18 to X30 alone, and the outputs it does not have are zero",
      function* (host) {
        const { out } = yield* host.rmi("RMI_FEATURES", 0n);
        equal(out[1], 0n, "X2");
        equal(out[2], 0n, "X3");
      },
    ],
  }),
];
