/*
 * Threads that keep values of their own in all vector registers while the kernel, the hypervisor and the RMM switch between
 * them: every register must come back as it was. Exit status 1 and a line for the first that did not.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REGISTERS(x)                                                                                                 \
	x(0) x(1) x(2) x(3) x(4) x(5) x(6) x(7) x(8) x(9) x(10) x(11) x(12) x(13) x(14) x(15) x(16) x(17) x(18) x(19)     \
	x(20) x(21) x(22) x(23) x(24) x(25) x(26) x(27) x(28) x(29) x(30) x(31)

/* Loads all V registers and FPCR, does a system call or spins, and stores them. */
static void hold(const uint64_t *in, uint64_t *out, uint64_t fpcr, uint64_t *fpcr_out, long yield, long spins) {
	register long number __asm__("x8") = 124; /* sched_yield */
	register const uint64_t *source __asm__("x9") = in;
	register uint64_t *target __asm__("x10") = out;
	register long yields __asm__("x11") = yield;
	register long count __asm__("x12") = spins;
	register uint64_t control __asm__("x13") = fpcr;
	__asm__ volatile(
		"mrs x14, fpcr\n msr fpcr, x13\n"
#define LOAD(n) "ldr q" #n ", [x9, #16 * " #n "]\n"
		REGISTERS(LOAD)
		"cbz x11, 1f\n svc #0\n"
		"1: subs x12, x12, #1\n b.ne 1b\n"
#define STORE(n) "str q" #n ", [x10, #16 * " #n "]\n"
		REGISTERS(STORE)
		"mrs x13, fpcr\n msr fpcr, x14\n"
		: "+r"(number), "+r"(source), "+r"(target), "+r"(yields), "+r"(count), "+r"(control)
		:
		: "x0", "x14", "cc", "memory", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12",
		  "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28",
		  "v29", "v30", "v31");
	*fpcr_out = control;
}

static int failed;

static void *worker(void *argument) {
	uint64_t id = (uint64_t)argument;
	uint64_t in[64], out[64], fpcr = (id % 4) << 22;
	for (long round = 0; round < 400; round++) {
		for (int i = 0; i < 64; i++) in[i] = (id << 48) ^ ((uint64_t)round << 24) ^ (uint64_t)(i * 0x9e3779b97f4a7c15u);
		memset(out, 0, sizeof out);
		uint64_t got;
		hold(in, out, fpcr, &got, round & 1, 1 + (long)((id * 7919 + (uint64_t)round * 31) % 20000));
		for (int i = 0; i < 64 && !failed; i++)
			if (in[i] != out[i]) {
				failed = 1;
				printf("thread %d round %ld: half %d of V%d is %016llx, was %016llx\n", (int)id, round, i & 1, i / 2,
					(unsigned long long)out[i], (unsigned long long)in[i]);
			}
		if (got != fpcr && !failed) {
			failed = 1;
			printf("thread %d round %ld: FPCR is %llx, was %llx\n", (int)id, round, (unsigned long long)got,
				(unsigned long long)fpcr);
		}
	}
	return NULL;
}

int main(void) {
	pthread_t threads[8];
	for (uint64_t id = 0; id < 8; id++) pthread_create(&threads[id], NULL, worker, (void *)(id + 1));
	for (int id = 0; id < 8; id++) pthread_join(threads[id], NULL);
	puts(failed ? "registers lost" : "registers kept");
	return failed;
}
