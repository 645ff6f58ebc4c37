/* SPDX-License-Identifier: MIT */
/* Preloaded, it makes the folder that NFS_HOME names behave as a mount of NFS does on Linux:

   - an exclusive lock is granted to a writable descriptor only (EBADF), or, with NFS_LOCKS=none, to nobody (ENOLCK);
   - a file that is removed while this process has it open is called .nfs… until it is closed;
   - there are no files without a name (O_TMPFILE), and no second names.

   Context: tests; any thread of the process that preloads it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define REAL(name) ((__typeof__ (&name)) dlsym (RTLD_NEXT, #name))
#define DESCRIPTORS 1024

static bool
is_there (const char *path)
{
  const char *home = getenv ("NFS_HOME");
  return home != NULL && strncmp (path, home, strlen (home)) == 0;
}

static bool
path_of (int fd, char path[static PATH_MAX])
{
  char link[32];
  snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink (link, path, PATH_MAX - 1);
  path[length < 0 ? 0 : length] = 0;
  return length > 0 && is_there (path);
}

static bool
is_open (const char *wanted)
{
  char path[PATH_MAX];
  for (int fd = 0; fd < DESCRIPTORS; fd++)
    if (path_of (fd, path) && strcmp (path, wanted) == 0)
      return true;
  return false;
}

int
flock (int fd, int operation)
{
  char path[PATH_MAX];
  if ((operation & LOCK_EX) && path_of (fd, path)) {
    const char *locks = getenv ("NFS_LOCKS");
    bool is_none = locks != NULL && strcmp (locks, "none") == 0;
    if (is_none || (fcntl (fd, F_GETFL) & O_ACCMODE) == O_RDONLY) {
      errno = is_none ? ENOLCK : EBADF;
      return -1;
    }
  }
  return REAL (flock) (fd, operation);
}

int
unlink (const char *path)
{
  static atomic_uint serial;
  if (!is_there (path) || !is_open (path))
    return REAL (unlink) (path);
  char silly[PATH_MAX];
  int folder = (int) (strrchr (path, '/') - path);
  snprintf (
      silly, sizeof silly, "%.*s/.nfs%08x%08x", folder, path, (unsigned) getpid (), atomic_fetch_add (&serial, 1));
  return rename (path, silly);
}

int
close (int fd)
{
  char path[PATH_MAX];
  bool is_silly = path_of (fd, path) && strstr (path, "/.nfs") != NULL;
  int result = REAL (close) (fd);
  if (is_silly && !is_open (path))
    REAL (unlink) (path);
  return result;
}

int
link (const char *from, const char *to)
{
  if (!is_there (from) && !is_there (to))
    return REAL (link) (from, to);
  errno = EPERM;
  return -1;
}

int
open64 (const char *path, int flags, ...)
{
  va_list rest;
  va_start (rest, flags);
  mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg (rest, mode_t) : 0;
  va_end (rest);
  if ((flags & O_TMPFILE) == O_TMPFILE && is_there (path)) {
    errno = EOPNOTSUPP;
    return -1;
  }
  return REAL (open64) (path, flags, mode);
}
