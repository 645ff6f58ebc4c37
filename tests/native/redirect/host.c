/* SPDX-License-Identifier: MIT */
/* host.c: programs that must not notice that their calls are redirected. host SCENARIO [ARGUMENT...]
 *
 * SHIM in the environment is the path of the library with csrc/shim/redirect/; without it the program runs without the
 * shim. Its output on stdout must be the same. The shim's counters go to stderr.
 *
 * Context: test.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "host.h"

void (*shim_start) (void);
void (*shim_pass) (void);
void (*shim_settle) (void);
void (*shim_note) (const char *);

static void
nothing (void)
{
}

static void
no_note (const char *point)
{
  (void) point;
}

static void *
find (void *library, const char *name, void *otherwise)
{
  return library != NULL ? dlsym (library, name) : otherwise;
}

static void
load_shim (void)
{
  const char *path = getenv ("SHIM");
  void *library = path != NULL ? dlopen (path, RTLD_NOW | RTLD_LOCAL) : NULL;
  if (path != NULL && library == NULL) {
    fprintf (stderr, "%s\n", dlerror ());
    exit (3);
  }
  shim_start = (void (*) (void)) find (library, "shim_start", (void *) nothing);
  shim_pass = (void (*) (void)) find (library, "shim_pass", (void *) nothing);
  shim_settle = (void (*) (void)) find (library, "shim_settle", (void *) nothing);
  shim_note = (void (*) (const char *)) find (library, "shim_note", (void *) no_note);
}

void *
must_open (const char *name, int mode)
{
  void *library = dlopen (name, mode);
  if (library == NULL) {
    printf ("dlopen: %s\n", dlerror ());
    exit (1);
  }
  return library;
}

int
run_module (void *library, int how)
{
  int (*run) (int) = (int (*) (int)) dlsym (library, "module_run");
  return run (how);
}

void
run_all (void *library)
{
  for (int how = 0; how < 4; how++)
    printf ("how %d: %d\n", how, run_module (library, how));
}

int
mode_of (const char *letters)
{
  int mode = strchr (letters, 'n') ? RTLD_NOW : RTLD_LAZY;
  mode |= strchr (letters, 'g') ? RTLD_GLOBAL : 0;
  return mode | (strchr (letters, 'd') ? RTLD_DEEPBIND : 0);
}

/* The module is there before the shim starts: before PATH MODE; after: the other way round. */
void
before (char **arguments)
{
  void *library = must_open (arguments[0], mode_of (arguments[1]));
  shim_start ();
  run_all (library);
  shim_note ("end");
}

void
after (char **arguments)
{
  shim_start ();
  void *library = must_open (arguments[0], mode_of (arguments[1]));
  shim_note ("opened");
  run_all (library);
  shim_note ("end");
  printf ("close: %d\n", dlclose (library));
  shim_note ("closed");
}

/* A soname, found along the RUNPATH of the library that asks: opener OPENER NAME. */
void
opener (char **arguments)
{
  shim_start ();
  void *library = must_open (arguments[0], RTLD_NOW);
  void *(*open_it) (const char *, int) = (void *(*) (const char *, int) ) dlsym (library, "opener_open");
  shim_note ("ready");
  void *found = open_it (arguments[1], RTLD_LAZY);
  printf ("found: %s\n", found != NULL ? "yes" : dlerror ());
  shim_note ("opened");
  if (found == NULL)
    return;
  shim_pass ();
  shim_note ("passed");
  run_all (found);
  shim_note ("end");
}

/* Failures are the loader's own, word for word. */
void
errors (char **arguments)
{
  shim_start ();
  errno = 12345;
  printf ("good: %d\n", dlopen (arguments[0], RTLD_LAZY) != NULL);
  printf ("errno %d, dlerror %s\n", errno, dlerror ());
  const char *names[] = { "/no/such/library.so", "no-such-library.so", "$ORIGIN/no-such.so", "/dev/null", "" };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    void *library = dlopen (names[i], RTLD_LAZY);
    printf ("%s: %d %s\n", names[i], library != NULL, dlerror ());
  }
  void *self = dlopen (NULL, RTLD_LAZY);
  printf ("self: %d %d\n", self != NULL, dlsym (self, "host_spawn") != NULL);
  printf ("noload: %d\n", dlopen ("/no/such/library.so", RTLD_LAZY | RTLD_NOLOAD) == NULL);
  printf ("mode: %d\n", dlopen (arguments[0], 0) != NULL);
  printf ("dlerror %s\n", dlerror ());
  printf ("close: %d\n", dlclose (self));
}

/* The same library again and again, at the same address: reload PATH. */
void
reload (char **arguments)
{
  shim_start ();
  for (int i = 0; i < 5; i++) {
    void *library = must_open (arguments[0], RTLD_LAZY);
    struct link_map *map = NULL;
    static uintptr_t at;
    dlinfo (library, RTLD_DI_LINKMAP, &map);
    fprintf (stderr, "load%d same=%d\n", i, at == map->l_addr);
    at = map->l_addr;
    run_all (library);
    printf ("close: %d\n", dlclose (library));
  }
  shim_note ("end");
}

/* Several copies of a function, each module with its own: copies MODE PATH... */
void
copies (char **arguments)
{
  int mode = mode_of (arguments[0]);
  shim_start ();
  for (char **path = arguments + 1; *path != NULL; path++)
    run_all (must_open (*path, mode));
  shim_note ("end");
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*run) (char **);
  } scenarios[] = {
    { "before", before },
    { "after", after },
    { "opener", opener },
    { "errors", errors },
    { "reload", reload },
    { "constructor", constructor },
    { "pages", pages },
    { "foreign", foreign },
    { "copies", copies },
    { "storm", storm },
    { "forks", forks },
    { "refused", refused },
    { "bound", bound },
  };
  load_shim ();
  for (size_t i = 0; argc > 1 && i < sizeof scenarios / sizeof *scenarios; i++) {
    if (strcmp (argv[1], scenarios[i].name) == 0) {
      scenarios[i].run (argv + 2);
      return 0;
    }
  }
  return 2;
}
