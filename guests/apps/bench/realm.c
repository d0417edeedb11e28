/* Calls to the RMM and through it to the Host; in a normal VM to its hypervisor. */
#include "lib/realm.h"

#include "classes.h"
#include "lib/channel.h"
#include "lib/exception.h"
#include "lib/memory.h"
#include "lib/mmu.h"
#include "lib/psci.h"
#include "librsi/rsi.h"

/* Nothing but the call and its answer. */
uint64_t run_rsi(uint64_t count) {
  for (uint64_t left = count; left > 0; left--) {
    if (!realm.present) {
      psci_call(PSCI_VERSION, 0, 0, 0);
      continue;
    }
    uint64_t lower, higher;
    if (rsi_version(RSI_ABI_VERSION_1_0, &lower, &higher) != RSI_SUCCESS) panic("RSI_VERSION fails");
  }
  return count;
}

/* The function id is one that the Host answers by itself. */
uint64_t run_host_call(uint64_t count) {
  for (uint64_t left = count; left > 0; left--) {
    if (realm.present) {
      static struct rsi_host_call call;
      call.gprs[0] = SMCCC_VERSION;
      if (rsi_host_call((uint64_t)&call) != RSI_SUCCESS) panic("RSI_HOST_CALL fails");
    } else {
      struct smccc_registers call;
      call.x[0] = SMCCC_VERSION;
      if (!channel_call(&call)) panic("no HVC here");
    }
  }
  return count;
}

/* In a realm the Host supplies each page at its first touch. */
uint64_t run_touch(uint64_t count) {
  uint64_t sum = 0;
  uint64_t left = memory_left() / PAGE_SIZE;
  if (count + 2 > left) panic("only %lu pages are left", left);
  for (uint64_t i = 0; i < count; i++) sum += *(volatile uint64_t *)memory_pages(1);
  return sum;
}
