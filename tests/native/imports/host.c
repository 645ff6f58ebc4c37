/* SPDX-License-Identifier: MIT */
/* host.c: programs that must not notice that their calls are redirected. host SCENARIO [ARGUMENT...]
 *
 * SHIM in the environment names the library with csrc/imports*.c; without it the same program runs on its own. What
 * the program says on stdout must be the same. Notes of the shim go to stderr.
 *
 * Context: test.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <link.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void (*shim_start) (void);
static void (*shim_pass) (void);
static void (*shim_settle) (void);
static void (*shim_note) (const char *);

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

static void *
must_open (const char *name, int mode)
{
  void *library = dlopen (name, mode);
  if (library == NULL) {
    printf ("dlopen: %s\n", dlerror ());
    exit (1);
  }
  return library;
}

static int
run_module (void *library, int how)
{
  int (*run) (int) = (int (*) (int)) dlsym (library, "module_run");
  return run (how);
}

static void
run_all (void *library)
{
  for (int how = 0; how < 4; how++)
    printf ("how %d: %d\n", how, run_module (library, how));
}

static int
mode_of (const char *letters)
{
  int mode = strchr (letters, 'n') ? RTLD_NOW : RTLD_LAZY;
  mode |= strchr (letters, 'g') ? RTLD_GLOBAL : 0;
  return mode | (strchr (letters, 'd') ? RTLD_DEEPBIND : 0);
}

/* The module is there before the shim starts: before PATH MODE; after: the other way round. */
static void
before (char **arguments)
{
  void *library = must_open (arguments[0], mode_of (arguments[1]));
  shim_start ();
  run_all (library);
  shim_note ("end");
}

static void
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
static void
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
static void
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
static void
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
static void
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

static char *
permissions (const char *path)
{
  static char text[4096];
  char line[1024];
  FILE *file = fopen ("/proc/self/maps", "r");
  text[0] = 0;
  while (fgets (line, sizeof line, file) != NULL) {
    if (strstr (line, path) != NULL)
      strncat (strncat (text, strchr (line, ' '), 5), "\n", 2);
  }
  fclose (file);
  return text;
}

/* Pages are as the loader, or somebody else, left them: pages PATH [open]. */
static void
open_relro (void *library)
{
  struct link_map *map;
  dlinfo (library, RTLD_DI_LINKMAP, &map);
  const Elf64_Ehdr *header = (const Elf64_Ehdr *) map->l_addr;
  const Elf64_Phdr *ph = (const Elf64_Phdr *) (map->l_addr + header->e_phoff);
  uintptr_t page = (uintptr_t) sysconf (_SC_PAGESIZE);
  for (int i = 0; i < header->e_phnum; i++) {
    uintptr_t lo = (map->l_addr + ph[i].p_vaddr) & -page, hi = (map->l_addr + ph[i].p_vaddr + ph[i].p_memsz) & -page;
    if (ph[i].p_type == PT_GNU_RELRO && mprotect ((void *) lo, hi - lo, PROT_READ | PROT_WRITE) != 0)
      abort ();
  }
}

static void
pages (char **arguments)
{
  void *library = must_open (arguments[0], RTLD_LAZY);
  if (arguments[1] != NULL)
    open_relro (library);
  printf ("%s", permissions (arguments[0]));
  shim_start ();
  shim_note ("start");
  for (int i = 0; i < 3; i++)
    shim_settle ();
  shim_note ("settled");
  printf ("%s", permissions (arguments[0]));
  run_all (library);
  shim_note ("end");
}

/* A kernel that does not say whether a page can be written: refused PATH. */
static void
refuse_probe (void)
{
  struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_futex, 0, 3),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, args[1])),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = { sizeof filter / sizeof *filter, filter };
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    abort ();
}

static void
refused (char **arguments)
{
  refuse_probe ();
  pages (arguments);
}

/* A slot that a thread bound while it was being redirected: bound PATH. */
static void
bound (char **arguments)
{
  void *library = must_open (arguments[0], RTLD_LAZY);
  shim_start ();
  *(void **) dlsym (library, "module_variable") = dlsym (RTLD_DEFAULT, "pthread_create");
  for (int i = 0; i < 3; i++)
    shim_settle ();
  run_all (library);
  shim_note ("end");
}

static int
somebody_elses (pthread_t *id, const pthread_attr_t *attr, void *(*function) (void *), void *argument)
{
  printf ("somebody else's\n");
  return pthread_create (id, attr, function, argument);
}

/* A slot that holds what another interposer put there: foreign PATH. */
static void
foreign (char **arguments)
{
  void *library = must_open (arguments[0], RTLD_LAZY);
  *(void **) dlsym (library, "module_variable") = (void *) somebody_elses;
  shim_start ();
  for (int i = 0; i < 3; i++)
    shim_settle ();
  run_all (library);
  shim_note ("end");
}

/* Several copies of a function, each module with its own: copies MODE PATH... */
static void
copies (char **arguments)
{
  int mode = mode_of (arguments[0]);
  shim_start ();
  for (char **path = arguments + 1; *path != NULL; path++)
    run_all (must_open (*path, mode));
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
static void
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
static void
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
