/**
 * The Host's boot on each PE: physical GIC, and on PE 0 the question who the RMM is, and the other PEs by PSCI CPU_ON.
 * DEN0022 1.1; DEN0137 1.0-rel0, "RMI_VERSION", "RMI_FEATURES".
 */
import { ICH_VTR_EL2, PSCI_FID, RMI_ABI_VERSION_1_0, RMI_FEATURE_REGISTER_0 } from "@realmbox/abi";
import type { Kernel } from "./kernel.js";
import type { Op } from "./kvm/api.js";
import type { PeContext } from "./pe-context.js";
import { setUpCpu, setUpDistributor } from "./physical-gic.js";

const AFFINITY = 0xff_00ff_ffffn;

/** Each PE's own set-up; PE 0 also asks the RMM and turns the others on. */
export function* boot(kernel: Kernel, c: PeContext): Op<void> {
  const { board, pes } = kernel.machine;
  const { pe, port } = c;
  if (c.index === 0) setUpDistributor(board, pe, port);
  setUpCpu(board, pe, port);
  c.booted = true;
  if (c.index === 0) {
    kernel.peLists = Number(ICH_VTR_EL2.LISTREGS.get(pe.mrs("ICH_VTR_EL2"))) + 1;
    yield* findRmm(kernel);
    for (const other of pes.slice(1)) {
      // Native firmware has no entry point; the address only has to be Non-secure memory.
      const entry = board.dram[0]!.base;
      yield kernel.rmi.smc(PSCI_FID.PSCI_CPU_ON_64, other.mpidr & AFFINITY, entry, BigInt(other.index));
    }
  }
  kernel.ready = kernel.contexts.every((one) => one.booted);
  if (kernel.ready) kernel.resumeWaiting();
  kernel.events.booted(c.index, kernel.rmm);
}

/** RMI_VERSION and RMI_FEATURES: a Host without an RMM of a revision that it knows runs normal VMs. */
function* findRmm(kernel: Kernel): Op<void> {
  const version = yield kernel.rmi.version(RMI_ABI_VERSION_1_0);
  if (version[0] !== 0n) return;
  const revision = version[1]!;
  const features = yield kernel.rmi.features(0n);
  if (features[0] !== 0n) return;
  kernel.rmm = { version: revision, features0: features[1]! };
  kernel.realmLists = Number(RMI_FEATURE_REGISTER_0.GICV3_NUM_LRS.get(kernel.rmm.features0)) + 1;
}
