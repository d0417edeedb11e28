/* Calls and indirect branches. */
#include "classes.h"
#include "lib/exception.h"

/* The empty statements keep the compiler from making a loop of one of the calls. */
static __attribute__((noinline)) uint64_t fibonacci(uint64_t n) {
  if (n < 2) return n;
  uint64_t a = fibonacci(n - 1);
  __asm__ volatile("" : "+r"(a));
  uint64_t b = fibonacci(n - 2);
  __asm__ volatile("" : "+r"(b));
  return a + b;
}

uint64_t run_calls(uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t round = 0; round < count; round++) sum = mix(sum, fibonacci(20 + (round & 7)));
  return sum;
}

/*
 * A machine with a stack, and an interpreter of the usual kind: each operation jumps to the next through a table. Its program
 * counts primes below 1000 by a sieve, computes the steps of Collatz sequences, and hashes what it finds.
 */
enum op { PUSH, LOAD, STORE, GET, PUT, ADD, SUB, MUL, SHR, AND, XOR, LESS, NOT, JUMP, JUMP_IF, DUP, DROP, END };

enum { LIMIT = 1000, VARIABLES = 8 };
enum variable { I, J, COUNT, HASH, X, STEPS };

static int64_t code[256];
static uint32_t code_size;
static int64_t array[LIMIT];

static uint32_t emit(enum op op, int64_t operand) {
  if (code_size + 2 > sizeof code / sizeof code[0]) panic("the program is too long");
  uint32_t at = code_size;
  code[code_size++] = op;
  if (op == PUSH || op == LOAD || op == STORE || op == JUMP || op == JUMP_IF) code[code_size++] = operand;
  return at;
}
static void set(enum variable variable, int64_t value) {
  emit(PUSH, value);
  emit(STORE, variable);
}
static void add(enum variable variable, int64_t value) {
  emit(LOAD, variable);
  emit(PUSH, value);
  emit(ADD, 0);
  emit(STORE, variable);
}
/* Jumps when variable < limit does not hold; the target is filled in later. */
static uint32_t unless_less(enum variable variable, int64_t limit) {
  emit(LOAD, variable);
  emit(PUSH, limit);
  emit(LESS, 0);
  emit(NOT, 0);
  return emit(JUMP_IF, 0);
}
static void land(uint32_t jump) { code[jump + 1] = code_size; }
/* hash = (hash * 31 + variable) & 0xffffffff */
static void hash(enum variable variable) {
  emit(LOAD, HASH);
  emit(PUSH, 31);
  emit(MUL, 0);
  emit(LOAD, variable);
  emit(ADD, 0);
  emit(PUSH, 0xffffffff);
  emit(AND, 0);
  emit(STORE, HASH);
}

void prepare_bytecode(void) {
  code_size = 0;
  /* for (i = 0; i < LIMIT; i++) array[i] = 0 */
  set(I, 0);
  uint32_t loop = code_size, out = unless_less(I, LIMIT);
  emit(PUSH, 0);
  emit(LOAD, I);
  emit(PUT, 0);
  add(I, 1);
  emit(JUMP, loop);
  land(out);
  /* for (i = 2; i < LIMIT; i++) if (!array[i]) { hash(i); for (j = i + i; j < LIMIT; j += i) array[j] = 1 } */
  set(I, 2);
  loop = code_size;
  out = unless_less(I, LIMIT);
  emit(LOAD, I);
  emit(GET, 0);
  uint32_t composite = emit(JUMP_IF, 0);
  hash(I);
  emit(LOAD, I);
  emit(DUP, 0);
  emit(ADD, 0);
  emit(STORE, J);
  uint32_t inner = code_size, inner_out = unless_less(J, LIMIT);
  emit(PUSH, 1);
  emit(LOAD, J);
  emit(PUT, 0);
  emit(LOAD, J);
  emit(LOAD, I);
  emit(ADD, 0);
  emit(STORE, J);
  emit(JUMP, inner);
  land(inner_out);
  land(composite);
  add(I, 1);
  emit(JUMP, loop);
  land(out);
  /* for (i = 1; i < 60; i++) { x = i; steps = 0; while (x != 1) { x = x & 1 ? 3 x + 1 : x >> 1; steps++ } hash(steps) } */
  set(I, 1);
  loop = code_size;
  out = unless_less(I, 60);
  emit(LOAD, I);
  emit(STORE, X);
  set(STEPS, 0);
  inner = code_size;
  emit(LOAD, X);
  emit(PUSH, 1);
  emit(XOR, 0);
  emit(NOT, 0);
  inner_out = emit(JUMP_IF, 0);
  emit(LOAD, X);
  emit(PUSH, 1);
  emit(AND, 0);
  uint32_t odd = emit(JUMP_IF, 0);
  emit(LOAD, X);
  emit(PUSH, 1);
  emit(SHR, 0);
  emit(STORE, X);
  uint32_t even = emit(JUMP, 0);
  land(odd);
  emit(LOAD, X);
  emit(PUSH, 3);
  emit(MUL, 0);
  emit(PUSH, 1);
  emit(ADD, 0);
  emit(STORE, X);
  land(even);
  add(STEPS, 1);
  emit(JUMP, inner);
  land(inner_out);
  hash(STEPS);
  add(I, 1);
  emit(JUMP, loop);
  land(out);
  emit(LOAD, HASH);
  emit(END, 0);
}

static __attribute__((noinline)) int64_t interpret(const int64_t *program, int64_t seed) {
  static const void *const operations[] = {&&push, &&load, &&store, &&get, &&put,  &&add,     &&sub, &&mul,  &&shr,
                                           &&and,  &&xor,  &&less,  &&not, &&jump, &&jump_if, &&dup, &&drop, &&end};
  int64_t stack[32], variables[VARIABLES] = {0}, *top = stack;
  const int64_t *at = program;
  variables[HASH] = seed;
#define NEXT goto *operations[*at++]
#define BINARY(expression)        \
  {                               \
    int64_t b = *--top, a = top[-1]; \
    top[-1] = (expression);       \
    NEXT;                         \
  }
  NEXT;
push:
  *top++ = *at++;
  NEXT;
load:
  *top++ = variables[*at++];
  NEXT;
store:
  variables[*at++] = *--top;
  NEXT;
get:
  top[-1] = array[top[-1]];
  NEXT;
put:
  top -= 2;
  array[top[1]] = top[0];
  NEXT;
add:
  BINARY(a + b)
sub:
  BINARY(a - b)
mul:
  BINARY(a * b)
shr:
  BINARY(a >> b)
and:
  BINARY(a & b)
xor:
  BINARY(a ^ b)
less:
  BINARY(a < b)
not:
  top[-1] = top[-1] == 0;
  NEXT;
jump:
  at = program + *at;
  NEXT;
jump_if:
  at = *--top != 0 ? program + *at : at + 1;
  NEXT;
dup:
  *top = top[-1];
  top++;
  NEXT;
drop:
  top--;
  NEXT;
end:
  return top[-1];
#undef BINARY
#undef NEXT
}

uint64_t run_bytecode(uint64_t count) {
  uint64_t sum = 0;
  for (uint64_t round = 0; round < count; round++) sum = mix(sum, (uint64_t)interpret(code, (int64_t)round));
  return sum;
}
