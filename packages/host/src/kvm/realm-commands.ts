/** The sub-commands of KVM_CAP_ARM_RME with their structures as bytes: KVM_ENABLE_CAP and the realm device. */
import {
  ARM_RME_CONFIG_PMU,
  ARM_RME_CONFIG_RPV,
  ARM_RME_POPULATE_FLAGS_MEASURE,
  ArmRmeConfigHash,
  ArmRmeConfigPmu,
  ArmRmeConfigRpv,
  ArmRmeInitRipas,
  ArmRmePopulateRealm,
  KVM_CAP_ARM_RME_SUB,
} from "@realmbox/abi";
import type { Op, Vm } from "./api.js";
import { type KvmResult, kvmError } from "./errno.js";

/** A CCA sub-command with its structure as bytes. `v1`: 16-byte ranges, every populated page measured. */
export function* realmSubCommand(vm: Vm, command: number, data: Uint8Array | undefined, v1: boolean): Op<KvmResult> {
  const needs = (size: number): Uint8Array | undefined => (data && data.length >= size ? data : undefined);
  switch (command) {
    case KVM_CAP_ARM_RME_SUB.CONFIG_REALM: {
      const item = needs(ArmRmeConfigRpv.size);
      if (!item) return kvmError("EFAULT", "the structure is 260 bytes");
      const { cfg, rpv } = ArmRmeConfigRpv.decode(item);
      const { hash_algo } = ArmRmeConfigHash.decode(item);
      if (cfg === ARM_RME_CONFIG_PMU) return vm.configRealm(ArmRmeConfigPmu.decode(item));
      return vm.configRealm(cfg === ARM_RME_CONFIG_RPV ? { cfg, rpv } : { cfg, hash_algo });
    }
    case KVM_CAP_ARM_RME_SUB.CREATE_REALM:
      return yield* vm.createRealmOp();
    case KVM_CAP_ARM_RME_SUB.INIT_RIPAS_REALM: {
      const range = needs(v1 ? 16 : ArmRmeInitRipas.size);
      if (!range) return kvmError("EFAULT", "the structure is 32 bytes");
      const view = new DataView(range.buffer, range.byteOffset);
      const { base, size } = ArmRmeInitRipas.fields;
      return yield* vm.initRipasRealmOp({ base: base.read(view, 0), size: size.read(view, 0) });
    }
    case KVM_CAP_ARM_RME_SUB.POPULATE_REALM: {
      const range = needs(v1 ? 16 : ArmRmePopulateRealm.size);
      if (!range) return kvmError("EFAULT", "the structure is 32 bytes");
      const view = new DataView(range.buffer, range.byteOffset);
      const { base, size, flags } = ArmRmePopulateRealm.fields;
      return yield* vm.populateRealmOp({
        base: base.read(view, 0),
        size: size.read(view, 0),
        flags: v1 ? ARM_RME_POPULATE_FLAGS_MEASURE : flags.read(view, 0),
      });
    }
    case KVM_CAP_ARM_RME_SUB.ACTIVATE_REALM:
      return yield* vm.activateRealmOp();
  }
  return kvmError("EINVAL", `sub-command ${command}`);
}
