// Self-hosted debug through ptrace: single step, hardware breakpoints and watchpoints of a child process. Each line of the
// output is one observation; the last says whether all were as they should be.
#define _GNU_SOURCE
#include <elf.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOPS 100
#define PER_LOOP 4 /* add, ldxr, subs, b.ne */
#define WATCHED 5

struct hw_state {
  uint32_t dbg_info, pad;
  struct {
    uint64_t addr;
    uint32_t ctrl, pad;
  } regs[16];
};

static volatile uint64_t cells[16] __attribute__((aligned(64)));
static int failures;

static void expect(int ok, const char *what) {
  printf("%s: %s\n", what, ok ? "yes" : "NO");
  if (!ok) failures++;
}

/* A loop of PER_LOOP instructions; its first and last addresses are labels. */
extern const char loop_begin[], loop_end[];
static __attribute__((noinline)) uint64_t loop(uint64_t count) {
  uint64_t sum = 0, seen;
  __asm__ volatile(
      ".global loop_begin, loop_end\n"
      "loop_begin:\n"
      "add %0, %0, #3\n"
      "ldxr %1, [%3]\n"
      "subs %2, %2, #1\n"
      "b.ne loop_begin\n"
      "loop_end:\n"
      "nop\n"
      : "+r"(sum), "=&r"(seen), "+r"(count)
      : "r"(&cells[15])
      : "cc", "memory");
  return sum;
}

/* Writes each cell once, in several widths; reads none but the last. */
static __attribute__((noinline)) void write_cells(void) {
  for (int i = 0; i < 8; i++) cells[i] = i;
  ((volatile uint8_t *)&cells[WATCHED])[3] = 1;
}

static uint64_t pc_of(pid_t pid) {
  uint64_t regs[34];
  struct iovec io = {regs, sizeof regs};
  if (ptrace(PTRACE_GETREGSET, pid, NT_PRSTATUS, &io)) return 0;
  return regs[32];
}

/* Waits for the next stop; its signal, or -1 when the child has ended. */
static int stop(pid_t pid, siginfo_t *info) {
  int status;
  if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return -1;
  memset(info, 0, sizeof *info);
  ptrace(PTRACE_GETSIGINFO, pid, 0, info);
  return WSTOPSIG(status);
}

static int set_hw(pid_t pid, int set, uint64_t addr, uint32_t ctrl) {
  struct hw_state state = {0};
  struct iovec io = {&state, sizeof state};
  if (ptrace(PTRACE_GETREGSET, pid, set, &io)) return -1;
  int slots = state.dbg_info & 0xff;
  if (slots != 2) return -1;
  memset(state.regs, 0, sizeof state.regs);
  state.regs[0].addr = addr;
  state.regs[0].ctrl = ctrl;
  io.iov_len = offsetof(struct hw_state, regs) + slots * sizeof state.regs[0];
  return ptrace(PTRACE_SETREGSET, pid, set, &io);
}

/* Runs the child until it ends; how often it stopped at addr. The kernel leaves the step over the instruction to us. */
static int count_hits(pid_t pid, int set, uint64_t addr, uint32_t ctrl, int (*right)(pid_t, const siginfo_t *)) {
  siginfo_t info;
  int hits = 0;
  for (;;) {
    if (set_hw(pid, set, addr, ctrl)) return -1;
    ptrace(PTRACE_CONT, pid, 0, 0);
    if (stop(pid, &info) != SIGTRAP) return hits;
    if (info.si_code != TRAP_HWBKPT || !right(pid, &info)) return -2;
    hits++;
    if (set_hw(pid, set, addr, 0)) return -3;
    ptrace(PTRACE_SINGLESTEP, pid, 0, 0);
    if (stop(pid, &info) != SIGTRAP || info.si_code != TRAP_TRACE) return -4;
  }
}

static pid_t child(void (*body)(void)) {
  pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, 0, 0);
    raise(SIGSTOP);
    body();
    _exit(0);
  }
  return pid;
}

static void body_loop(void) {
  if (loop(LOOPS) != 3 * LOOPS) _exit(1);
  getppid();
}
static void body_cells(void) { write_cells(); }

static void single_step(void) {
  siginfo_t info;
  pid_t pid = child(body_loop);
  int signal = stop(pid, &info), inside = 0, total = 0, foreign = 0;
  uint64_t last = 0, backwards = 0;
  while (signal == SIGSTOP || signal == SIGTRAP) {
    uint64_t pc = pc_of(pid);
    if (pc >= (uint64_t)loop_begin && pc < (uint64_t)loop_end) {
      inside++;
      /* After a system call it would be SI_USER: the kernel's own report. */
      if (signal == SIGTRAP && info.si_code != TRAP_TRACE) foreign++;
      if (last == (uint64_t)loop_end - 4 && pc == (uint64_t)loop_begin) backwards++;
    }
    last = pc;
    if (ptrace(PTRACE_SINGLESTEP, pid, 0, 0)) break;
    signal = stop(pid, &info);
    total++;
  }
  printf("instructions in the loop: %d\n", inside);
  expect(inside == LOOPS * PER_LOOP, "each instruction of the loop is one step");
  expect(backwards == LOOPS - 1, "the loop was gone round");
  expect(foreign == 0, "every trap in it is TRAP_TRACE");
  expect(total > LOOPS * PER_LOOP + 10, "system calls were stepped over");
  expect(signal == -1, "the child has ended by itself");
}

static int at_breakpoint(pid_t pid, const siginfo_t *info) {
  uint64_t pc = pc_of(pid);
  return pc == (uint64_t)loop_begin + 8 && (uint64_t)info->si_addr == pc;
}

static void hw_breakpoint(void) {
  siginfo_t info;
  pid_t pid = child(body_loop);
  stop(pid, &info);
  /* enabled, EL0, four bytes */
  int hits = count_hits(pid, NT_ARM_HW_BREAK, (uint64_t)loop_begin + 8, 1 | 2 << 1 | 0xf << 5, at_breakpoint);
  printf("breakpoint hits: %d\n", hits);
  expect(hits == LOOPS, "it is hit each time round");
}

static int at_cell(pid_t pid, const siginfo_t *info) {
  (void)pid;
  return (uint64_t)info->si_addr - (uint64_t)&cells[WATCHED] < 8;
}

/* lsc: 1 loads, 2 stores */
static void hw_watchpoint(uint32_t lsc, int expected) {
  siginfo_t info;
  pid_t pid = child(body_cells);
  stop(pid, &info);
  uint32_t ctrl = 1 | 2 << 1 | lsc << 3 | 0xff << 5;
  int hits = count_hits(pid, NT_ARM_HW_WATCH, (uint64_t)&cells[WATCHED], ctrl, at_cell);
  printf("watchpoint hits with LSC %u: %d\n", lsc, hits);
  expect(hits == expected, "it is hit by those accesses alone");
}

int main(void) {
  setbuf(stdout, NULL);
  single_step();
  hw_breakpoint();
  hw_watchpoint(2, 2);
  hw_watchpoint(1, 0);
  hw_watchpoint(3, 2);
  printf("%s\n", failures ? "ptrace failed" : "ptrace as expected");
  return failures != 0;
}
