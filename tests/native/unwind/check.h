/* SPDX-License-Identifier: MIT */
/* check.h: a tiny runner for the C tests of the unwinder. Each test is a function; a CHECK that fails is counted, and
 * the test continues.
 *
 * Context: tests only.
 */
#ifndef GP_CHECK_H
#define GP_CHECK_H

#include <stdio.h>
#include <string.h>

static int g_failures;

#define CHECK(condition)                                                                                               \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      printf ("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                                          \
      g_failures++;                                                                                                    \
    }                                                                                                                  \
  } while (0)

#define CHECK_EQUAL(a, b)                                                                                              \
  do {                                                                                                                 \
    long long a_ = (long long) (a), b_ = (long long) (b);                                                              \
    if (a_ != b_) {                                                                                                    \
      printf ("%s:%d: %s is %lld (0x%llx), not %lld (0x%llx)\n", __FILE__, __LINE__, #a, a_, a_, b_, b_);              \
      g_failures++;                                                                                                    \
    }                                                                                                                  \
  } while (0)

struct check_test
{
  const char *name;
  void (*function) (void);
};

#define CHECK_TEST(function_) { #function_, function_ }

/* Runs the test named in argv, or all; prints a line for each. Returns the exit status. */
static inline int
check_main (int argc, char **argv, const struct check_test *tests, int n)
{
  for (int i = 0; i < n; i++) {
    if (argc > 1 && strcmp (argv[1], tests[i].name) != 0)
      continue;
    int before = g_failures;
    tests[i].function ();
    printf ("%s %s\n", g_failures == before ? "ok" : "FAILED", tests[i].name);
    fflush (stdout);
  }
  return g_failures != 0;
}

#endif
