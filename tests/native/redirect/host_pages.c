/* SPDX-License-Identifier: MIT */
/* host_pages.c: scenarios in which other code has changed slots or pages before the shim does.
 *
 * Context: test.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "host.h"

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

void
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

void
refused (char **arguments)
{
  refuse_probe ();
  pages (arguments);
}

/* A slot that a thread bound while it was being redirected: bound PATH. */
void
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
void
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
