/*
 * Numeric code as compilers make it: loops over floats and doubles that are vectorised, contracted to multiply-adds,
 * converted and compared. Freestanding: the results lie in `results`, which is written out before exit. The linker puts
 * that array where image.ts expects a program's output.
 */
typedef unsigned long u64;
typedef unsigned int u32;

#define RESULTS 4096
u64 results[RESULTS] __attribute__((section(".output"))) = {1};
static u32 count;

static void result64(double x) {
  union {
    double value;
    u64 bits;
  } u = {x};
  if (count < RESULTS) results[count++] = u.bits;
}
static void result32(float x) {
  union {
    float value;
    u32 bits;
  } u = {x};
  if (count < RESULTS) results[count++] = u.bits;
}
static void result(u64 x) {
  if (count < RESULTS) results[count++] = x;
}

static u64 state = 88172645463325252ul;
static u64 next(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}
/* Within a few powers of two of 1. */
static double number(void) { return (double)(long)next() * 0x1p-61; }

static u64 fpsr(void) {
  u64 flags;
  asm volatile("mrs %0, fpsr" : "=r"(flags));
  return flags;
}
static void setFpcr(u64 fpcr) { asm volatile("msr fpcr, %0\n\tmsr fpsr, xzr" ::"r"(fpcr) : "memory"); }

#define N 24
static float fa[N][N], fb[N][N], fc[N][N];
static double da[N][N], db[N][N], dc[N][N];

static void matrices(void) {
  for (int i = 0; i < N; i++)
    for (int j = 0; j < N; j++) {
      da[i][j] = number();
      db[i][j] = number();
      dc[i][j] = 0;
      fa[i][j] = (float)number();
      fb[i][j] = (float)number();
      fc[i][j] = 0;
    }
  for (int i = 0; i < N; i++)
    for (int k = 0; k < N; k++)
      for (int j = 0; j < N; j++) {
        dc[i][j] += da[i][k] * db[k][j];
        fc[i][j] += fa[i][k] * fb[k][j];
      }
  for (int i = 0; i < N; i++) {
    result64(dc[i][(i * 7) % N]);
    result32(fc[i][(i * 5) % N]);
  }
}

/* Horner's scheme with a reduction by FRINTN, and back through integers. */
static double exponential(double x) {
  double k = __builtin_rint(x * 1.4426950408889634);
  double r = x - k * 0x1.62e42fefa39efp-1 - k * 0x1.abc9e3b39803fp-56;
  double sum = 1;
  for (int i = 17; i > 0; i--) sum = 1 + sum * r / i;
  u64 bits = (u64)((long)k + 1023) << 52;
  double scale;
  __builtin_memcpy(&scale, &bits, 8);
  return sum * scale;
}

static void series(void) {
  for (int i = 0; i < 40; i++) {
    double x = number() * 5;
    result64(exponential(x));
    result64(__builtin_sqrt(__builtin_fabs(x)) / (x + 8));
    result64(__builtin_fma(x, x, -x));
  }
}

static void logistic(void) {
  double x = 0.1, sum = 0;
  float y = 0.2f;
  for (int i = 0; i < 2000; i++) {
    x = 3.7 * x * (1 - x);
    y = 3.9f * y * (1 - y);
    sum += x > y ? x : y;
  }
  result64(x);
  result32(y);
  result64(sum);
}

static float fv[256], fw[256];
static double dv[256];
static int iv[256];
static u32 uv[256];
static __fp16 hv[256];

static void arrays(void) {
  for (int i = 0; i < 256; i++) fv[i] = (float)(number() * 1000);
  for (int i = 0; i < 256; i++) fw[i] = __builtin_sqrtf(fv[i] * fv[i] + 1) / (fv[i] + 5000);
  for (int i = 0; i < 256; i++) iv[i] = (int)fv[i];
  for (int i = 0; i < 256; i++) uv[i] = (u32)__builtin_fabsf(fv[i] * 1e6f);
  for (int i = 0; i < 256; i++) dv[i] = (double)fw[i] * iv[i] + (float)uv[i];
  for (int i = 0; i < 256; i++) hv[i] = fw[i] * 100;
  for (int i = 0; i < 256; i++) fw[i] = fv[i] > fw[i] ? (float)hv[i] : __builtin_floorf(fv[i]);
  float most = 0;
  double sum = 0;
  for (int i = 0; i < 256; i++) {
    most = fw[i] > most ? fw[i] : most;
    sum += dv[i];
  }
  result32(most);
  result64(sum);
  for (int i = 0; i < 256; i += 9) {
    result32(fw[i]);
    result((u64)(u32)iv[i] << 32 | uv[i]);
    result64(dv[i]);
  }
}

/* Down to denormals and up to infinity. */
static void extremes(void) {
  double small = 1, large = 1;
  float smallF = 1, largeF = 1;
  for (int i = 0; i < 1100; i++) {
    small *= 0.4999;
    large *= 2.0001;
    smallF *= 0.9f;
    largeF *= 1.1f;
    if (i % 50 == 0) {
      result64(small);
      result64(large);
      result32(smallF);
      result32(largeF);
      result((u64)(long)large);
      result64(large - large);
    }
  }
}

/* The harness gives no stack. */
char stack[0x10000] __attribute__((aligned(16)));
asm(".text\n"
    ".globl _start\n"
    "_start:\n"
    "\tadrp x0, stack + 0x10000\n"
    "\tadd x0, x0, :lo12:stack + 0x10000\n"
    "\tmov sp, x0\n"
    "\tb run\n");

void run(void) {
  /* To nearest, up, down, to zero; flushing denormals; with default NaNs. */
  static const u64 modes[] = {0, 1 << 22, 2 << 22, 3 << 22, 1 << 24, 1 << 25};
  for (int i = 0; i < 6; i++) {
    setFpcr(modes[i]);
    matrices();
    series();
    logistic();
    arrays();
    extremes();
    result(fpsr());
  }
  result(count);
  register u64 number_ asm("x8") = 64, fd asm("x0") = 1, size asm("x2") = sizeof results;
  register void *from asm("x1") = results;
  asm volatile("svc 0" : "+r"(fd) : "r"(from), "r"(size), "r"(number_) : "memory");
  number_ = 94;
  fd = 0;
  asm volatile("svc 0" ::"r"(fd), "r"(number_));
  __builtin_unreachable();
}
