// Prints what x87 and SSE compute, through printf, strtold and libm: compared with the same program on the host's CPU.
#include <complex.h>
#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void elementary(long double x) {
  printf("%.21Lg %.21Lg %.21Lg\n", sinl(x), cosl(x), atan2l(x, 1.3L));
  printf("%.21Lg %.21Lg %.21Lg\n", expl(x), logl(fabsl(x) + 0.1L), powl(fabsl(x) + 1, 1.7L));
  printf("%.21Lg %.21Lg %.21Lg\n", fmodl(x * 1000, 3.3L), cbrtl(x), log1pl(fabsl(x)));
  double d = (double)x;
  printf("%.17g %.17g %.17g %.17g\n", sin(d), exp(d), log(fabs(d) + 0.1), pow(fabs(d) + 1, 2.5));
  float f = (float)x;
  printf("%.9g %.9g %.9g %.9g\n", sinf(f), expf(f), logf(fabsf(f) + 0.1f), powf(fabsf(f) + 1, 0.3f));
  printf("%ld %lld %d %ld\n", lrintl(x), llroundl(x * 1e10L), (int)x, lrint(d));
}

static void parse(const char *text) {
  printf("%s %.21Lg %.17g %.9g\n", text, strtold(text, NULL), strtod(text, NULL), strtof(text, NULL));
}

static void rounding(int mode) {
  fesetround(mode);
  volatile double a = 1, b = 3;
  volatile float c = 1, d = 3;
  volatile long double e = 1, f = 3;
  printf("%.17g %.9g %.21Lg %ld %Lf\n", a / b, c / d, e / f, lrint(2.5), nearbyintl(-2.5L));
  fesetround(FE_TONEAREST);
}

int main(void) {
  long double x = 1;
  for (int i = 0; i < 20; i++) {
    x = x * 1.1L + 0.3L;
    printf("%.20Lf %La %Lg %.30Le\n", x, x, 1 / x, sqrtl(x));
  }
  for (int i = -5; i < 15; i++) elementary(i * 0.77L);
  printf("%Lf %Lf %Lf %Lg %Lg\n", (long double)INFINITY, -(long double)INFINITY, (long double)NAN, 3.6e-4951L, 1.1e4932L);
  const char *texts[] = {"0.1", "1e-4940", "9.99e4931", "1e-310", "1e-40", "123456789012345678901234567890", "-0", "2.5e-324"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) parse(texts[i]);
  const int modes[] = {FE_TONEAREST, FE_DOWNWARD, FE_UPWARD, FE_TOWARDZERO};
  for (int i = 0; i < 4; i++) rounding(modes[i]);
  feclearexcept(FE_ALL_EXCEPT);
  volatile double zero = 0, infinite = 1 / zero;
  printf("exceptions %x %g\n", fetestexcept(FE_ALL_EXCEPT), infinite);
  double complex w = cexp(1.0 + 2.0 * I);
  printf("%.17g %.17g\n", creal(w), cimag(w));
  double sum = 0;
  for (int i = 1; i < 20000; i++) sum += sin(i) / ((double)i * i);
  long double harmonic = 0;
  for (int i = 1; i < 20000; i++) harmonic += 1.0L / i;
  printf("%.17g %.21Lg\n", sum, harmonic);
  unsigned hash = 0;
  char *text = malloc(100000);
  for (int i = 0; i < 100000; i++) text[i] = (char)(i * i >> 3);
  for (int i = 0; i < 50; i++) {
    memmove(text + i, text + i * 3, 50000);
    hash = hash * 31 + (unsigned)strlen(text + i) + (memchr(text, 77, 9999) ? 1 : 0);
  }
  for (int i = 0; i < 100000; i++) hash = hash * 31 + (unsigned char)text[i];
  printf("%u\n", hash);
  return 0;
}
