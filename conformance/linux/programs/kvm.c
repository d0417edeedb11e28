/*
 * The init of a Linux host at EL2: makes a virtual machine with KVM, one vCPU and a virtual GIC, runs kvm-guest.S in it, prints
 * each access to a device that comes out, and switches off.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

#define RAM 0x80000000ul
#define RAM_SIZE (2ul << 20)
#define GICD 0x08000000ul
#define GICR 0x080a0000ul
#define END 0x09000ff8ul

extern char guest_start[], guest_end[];

static void off(void) {
  sync();
  reboot(RB_POWER_OFF);
  for (;;) pause();
}

static long check(const char *what, long result) {
  if (result >= 0) return result;
  printf("kvm: %s: %s\n", what, strerror(errno));
  off();
  return 0;
}

static void attribute(int fd, uint32_t group, uint64_t attr, const void *value) {
  struct kvm_device_attr a = {.group = group, .attr = attr, .addr = (uintptr_t)value};
  check("KVM_SET_DEVICE_ATTR", ioctl(fd, KVM_SET_DEVICE_ATTR, &a));
}

int main(void) {
  mkdir("/dev", 0755);
  mount("devtmpfs", "/dev", "devtmpfs", 0, 0);
  int console = open("/dev/console", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(console, fd);
  setvbuf(stdout, 0, _IONBF, 0);

  int kvm = check("open", open("/dev/kvm", O_RDWR));
  int vm = check("KVM_CREATE_VM", ioctl(kvm, KVM_CREATE_VM, 0ul));
  char *ram = mmap(0, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  memcpy(ram, guest_start, guest_end - guest_start);
  __builtin___clear_cache(ram, ram + RAM_SIZE);
  struct kvm_userspace_memory_region region = {
      .guest_phys_addr = RAM, .memory_size = RAM_SIZE, .userspace_addr = (uintptr_t)ram};
  check("KVM_SET_USER_MEMORY_REGION", ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
  int vcpu = check("KVM_CREATE_VCPU", ioctl(vm, KVM_CREATE_VCPU, 0ul));

  struct kvm_create_device gic = {.type = KVM_DEV_TYPE_ARM_VGIC_V3};
  check("KVM_CREATE_DEVICE", ioctl(vm, KVM_CREATE_DEVICE, &gic));
  uint64_t gicd = GICD, gicr = GICR;
  attribute(gic.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_DIST, &gicd);
  attribute(gic.fd, KVM_DEV_ARM_VGIC_GRP_ADDR, KVM_VGIC_V3_ADDR_TYPE_REDIST, &gicr);
  struct kvm_vcpu_init init;
  check("KVM_ARM_PREFERRED_TARGET", ioctl(vm, KVM_ARM_PREFERRED_TARGET, &init));
  init.features[0] |= 1 << KVM_ARM_VCPU_PSCI_0_2;
  check("KVM_ARM_VCPU_INIT", ioctl(vcpu, KVM_ARM_VCPU_INIT, &init));
  attribute(gic.fd, KVM_DEV_ARM_VGIC_GRP_CTRL, KVM_DEV_ARM_VGIC_CTRL_INIT, 0);
  uint64_t pc = RAM;
  struct kvm_one_reg reg = {
      .id = KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE | KVM_REG_ARM_CORE_REG(regs.pc),
      .addr = (uintptr_t)&pc};
  check("KVM_SET_ONE_REG", ioctl(vcpu, KVM_SET_ONE_REG, &reg));
  size_t size = check("KVM_GET_VCPU_MMAP_SIZE", ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0));
  struct kvm_run *run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);

  for (int exits = 0; exits < 100; exits++) {
    check("KVM_RUN", ioctl(vcpu, KVM_RUN, 0));
    if (run->exit_reason != KVM_EXIT_MMIO) {
      printf("kvm: exit %d\n", run->exit_reason);
      break;
    }
    uint64_t value = 0x1122334455667788;
    if (!run->mmio.is_write) memcpy(run->mmio.data, &value, run->mmio.len);
    memcpy(&value, run->mmio.data, 8);
    printf("kvm: %s %llx %llx\n", run->mmio.is_write ? "write" : "read", (unsigned long long)run->mmio.phys_addr,
           (unsigned long long)value);
    if (run->mmio.phys_addr == END) break;
  }
  printf("kvm: done\n");
  off();
}
