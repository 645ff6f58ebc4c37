/* SPDX-License-Identifier: MIT */
/* host_threads.c: scenarios with several threads or processes.
 *
 * Context: test.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "host.h"

static void *
tick (void *data)
{
  *(int *) data += 1;
  return NULL;
}

void host_spawn (int *done);

void
host_spawn (int *done)
{
  pthread_t id;
  pthread_create (&id, NULL, tick, done);
  pthread_join (id, NULL);
}

/* A constructor that waits for a thread, which makes a thread, while modules are yet to be seen: constructor PATH NAME
 */
void
constructor (char **arguments)
{
  shim_start ();
  void *other = must_open (arguments[1], RTLD_LAZY); /* found along the host's RUNPATH; leaves the flag raised */
  shim_note ("flagged");
  void *library = must_open (arguments[0], RTLD_LAZY);
  run_all (library);
  run_all (other);
  shim_note ("end");
}

static char **g_paths;
static _Atomic int g_total;
static _Atomic bool g_over;

static void *
open_and_close (void *data)
{
  unsigned seed = (unsigned) (uintptr_t) data;
  for (int i = 0; i < 60; i++) {
    char *path = g_paths[rand_r (&seed) % 3 + 1];
    void *library = dlopen (i % 3 == 0 ? basename (path) : path, RTLD_LAZY);
    if (library == NULL) {
      printf ("dlopen: %s\n", dlerror ());
      exit (1);
    }
    g_total += run_module (library, i % 4);
    if (i % 5 != 0)
      dlclose (library);
  }
  return NULL;
}

static void *
keep_passing (void *data)
{
  (void) data;
  while (!g_over)
    shim_pass ();
  return NULL;
}

/* Threads that open, run and close, while passes are made: storm THREADS PATH PATH PATH. */
void
storm (char **arguments)
{
  g_paths = arguments;
  int n = atoi (arguments[0]);
  pthread_t ids[16], passing;
  shim_start ();
  pthread_create (&passing, NULL, keep_passing, NULL);
  for (int i = 0; i < n; i++)
    pthread_create (&ids[i], NULL, open_and_close, (void *) (uintptr_t) (i + 1));
  for (int i = 0; i < n; i++)
    pthread_join (ids[i], NULL);
  g_over = true;
  pthread_join (passing, NULL);
  printf ("total %d\n", g_total);
  shim_note ("end");
}

/* Forks while a pass is made over what has just come; the child loads and runs something: forks COUNT NAME PATH. The
 * name has no "/", so that the pass is not this thread's. */
void
forks (char **arguments)
{
  pthread_t passing;
  shim_start ();
  pthread_create (&passing, NULL, keep_passing, NULL);
  int good = 0;
  for (int i = 0; i < atoi (arguments[0]); i++) {
    void *library = must_open (arguments[1], RTLD_LAZY);
    pid_t child = fork ();
    if (child == 0) {
      alarm (10);
      void *other = dlopen (arguments[2], RTLD_LAZY);
      _exit (other != NULL && run_module (other, 0) == 42 ? 0 : 1);
    }
    int status = 0;
    waitpid (child, &status, 0);
    good += status == 0;
    dlclose (library);
  }
  g_over = true;
  pthread_join (passing, NULL);
  printf ("good %d\n", good);
  shim_note ("end");
}
