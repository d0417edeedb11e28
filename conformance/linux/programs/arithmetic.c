/*
 * Prints, in hexadecimal, what the C library and the compiler's code make of many numbers: floating point in all rounding
 * modes, vectorised loops, string functions, conversions to and from text. Run on this machine and on another implementation of
 * the instruction set, the output must be the same.
 */
#include <fenv.h>
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252u;
static uint64_t next(void) {
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t bits(double x) {
	uint64_t value;
	memcpy(&value, &x, sizeof value);
	return value;
}

static double real(void) {
	static const double special[] = {0.0, -0.0, 1.0, -1.0, INFINITY, -INFINITY, NAN, 5e-324, 2.2250738585072014e-308,
		1.7976931348623157e308, 0.5, 1.5, 2.5, 1e16, 4503599627370497.5, 1.0000000000000002, 3.1415926535897931};
	uint64_t choice = next();
	if (choice % 5 == 0) return special[(choice >> 8) % (sizeof special / sizeof *special)];
	if (choice % 5 < 3) return (double)(int64_t)next() / 1e15;
	uint64_t value = next();
	double x;
	memcpy(&x, &value, sizeof x);
	return x;
}

static uint64_t hash = 1469598103934665603u;
static void mix(uint64_t value) {
	for (int i = 0; i < 8; i++, value >>= 8) hash = (hash ^ (value & 0xff)) * 1099511628211u;
}

static void line(const char *name) {
	printf("%-12s %016" PRIx64 " flags %02x\n", name, hash, (unsigned)fetestexcept(FE_ALL_EXCEPT));
	feclearexcept(FE_ALL_EXCEPT);
	hash = 1469598103934665603u;
}

#define ROUNDS 4000
#define EACH(name, expression)                                                                                       \
	do {                                                                                                         \
		for (int i = 0; i < ROUNDS; i++) {                                                                   \
			volatile double a = real(), b = real(), c = real();                                          \
			(void)b;                                                                                     \
			(void)c;                                                                                     \
			mix(bits(expression));                                                                       \
		}                                                                                                    \
		line(name);                                                                                          \
	} while (0)

static float floats[1027], products[1027];
static int32_t integers[1027];

int main(void) {
	static const int modes[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
	for (int mode = 0; mode < 4; mode++) {
		fesetround(modes[mode]);
		printf("mode %d\n", mode);
		EACH("add", a + b);
		EACH("multiply", a * b);
		EACH("divide", a / b);
		EACH("sqrt", sqrt(a));
		EACH("fma", fma(a, b, c));
		EACH("float", (double)((float)a * (float)b + (float)c));
		EACH("rint", rint(a));
		EACH("round", round(a));
		EACH("floor", floor(a) + ceil(b) + trunc(c));
		EACH("to integer", (double)(int64_t)a);
		EACH("unsigned", (double)(uint32_t)(int64_t)a);
	}
	fesetround(FE_TONEAREST);
	EACH("sin", sin(a));
	EACH("exp", exp(a / 1e3));
	EACH("log", log(fabs(a)));
	EACH("pow", pow(fabs(a), b / 1e4));
	EACH("tgamma", tgamma(a / 100));
	EACH("atan2", atan2(a, b));
	EACH("hypot", hypot(a, b));
	EACH("fmod", fmod(a, b));
	EACH("cbrt", cbrt(a));
	EACH("erf", erf(a));
	EACH("sinf", (double)sinf((float)a));
	EACH("expf", (double)expf((float)a / 1e3f));

	for (int i = 0; i < ROUNDS; i++) {
		char text[64];
		double x = real();
		snprintf(text, sizeof text, "%.17g %a %.3f", x, x, fmod(x, 1e6));
		for (const char *p = text; *p; p++) mix((unsigned char)*p);
		mix(bits(strtod(text, NULL)));
	}
	line("text");

	for (int round = 0; round < 40; round++) {
		size_t count = next() % 1027;
		for (size_t i = 0; i < count; i++) {
			floats[i] = (float)(int32_t)next() / 65536.0f;
			integers[i] = (int32_t)next();
		}
		float sum = 0, most = 0;
		int32_t total = 0, least = 0;
		for (size_t i = 0; i < count; i++) products[i] = floats[i] * floats[count - 1 - i] + 1.0f;
		for (size_t i = 0; i < count; i++) sum += products[i], most = products[i] > most ? products[i] : most;
		for (size_t i = 0; i < count; i++) {
			total += integers[i] >> (i & 7);
			least = integers[i] < least ? integers[i] : least;
		}
		mix(bits(sum));
		mix(bits(most));
		mix((uint32_t)total);
		mix((uint32_t)least);
	}
	line("loops");

	static unsigned char from[4096], to[4096];
	for (int round = 0; round < 2000; round++) {
		size_t at = next() % 300, length = next() % 2000, where = next() % 300;
		memset(to, (int)next(), sizeof to);
		for (size_t i = 0; i < 64; i++) from[next() % sizeof from] = (unsigned char)next();
		memcpy(to + where, from + at, length);
		memmove(to + at, to + where, length);
		mix((uint64_t)(memcmp(to, from, sizeof to) > 0));
		unsigned char *zero = memchr(to + 1, 0, sizeof to - 1);
		mix(zero ? (uint64_t)(zero - to) : 0);
		mix(strnlen((char *)to, sizeof to));
	}
	line("memory");
	return 0;
}
