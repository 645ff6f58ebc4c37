/* SPDX-License-Identifier: MIT */
/* takes_signals.c: preloaded, takes signals while an embedded Python comes up, as gst-launch's main thread may; says at
 * the end whether it still has them.
 *
 * Context: tests.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stddef.h>
#include <unistd.h>

/* PyStatus, as far as a caller must make room for it. */
struct status
{
  int type;
  const char *function;
  const char *message;
  int code;
};

static const int g_taken[] = { SIGHUP, SIGINT, SIGTERM };
static int g_met;

static void
ours (int number)
{
  (void) number;
}

struct status
Py_InitializeFromConfig (const void *config)
{
  struct status (*real) (const void *) = NULL;
  *(void **) &real = dlsym (RTLD_NEXT, "Py_InitializeFromConfig");
  struct status status = real (config);
  for (size_t i = 0; i < sizeof g_taken / sizeof g_taken[0]; i++)
    signal (g_taken[i], ours);
  g_met = 1;
  return status;
}

static void __attribute__ ((destructor))
look (void)
{
  static const char kept[] = "signals kept\n", lost[] = "signals lost\n";
  struct sigaction now;
  int all = 1;
  for (size_t i = 0; i < sizeof g_taken / sizeof g_taken[0]; i++)
    all = all && sigaction (g_taken[i], NULL, &now) == 0 && now.sa_handler == ours;
  if (g_met && write (STDERR_FILENO, all ? kept : lost, sizeof kept - 1) < 0)
    return;
}
