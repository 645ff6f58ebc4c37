/* SPDX-License-Identifier: MIT */
/* handover.c: one message to an agent.
 *
 * Nothing here waits: connect() to a local socket succeeds or fails at once, and the message fits into the socket's
 * buffer. The connection is closed after the message: everything later goes through the segment, and a child of the
 * host would inherit an open connection.
 *
 * Context: lifecycle, on the host's thread that makes the tracer.
 */
#define _GNU_SOURCE
#include "shim/home/handover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include "shared/raw_syscall.h"

static const char g_prefix[] = "GST_PYROSCOPE_";

enum
{
  MESSAGE_BYTES = 128 * 1024 /* as in agent/reception.py; a socket's buffer holds more */
};

/* Whether the listener is of this user, or root. Whoever can write into the segment can have the host run a script
 * (python_config), and any user may listen at a free name of the abstract namespace. */
static bool
is_trusted (int connection, pid_t *pid)
{
  struct ucred peer;
  socklen_t bytes = sizeof peer;
  if (gp_syscall (SYS_getsockopt, connection, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0)
    return false;
  *pid = peer.pid;
  return peer.uid == (uid_t) gp_syscall (SYS_geteuid) || peer.uid == 0;
}

/* Returns the message's length in bytes; 0: it would be too long. */
static size_t
write_message (char *into, const char *first)
{
  size_t at = 0;
  for (char **line = (char *[]) { (char *) (uintptr_t) first, NULL }; *line != NULL;) {
    size_t bytes = strlen (*line) + 1;
    if (at + bytes > MESSAGE_BYTES)
      return 0;
    memcpy (into + at, *line, bytes);
    at += bytes;
    line = at == bytes ? environ : line + 1;
    while (*line != NULL && strncmp (*line, g_prefix, sizeof g_prefix - 1) != 0)
      line++;
  }
  return at;
}

static int
send_message (int connection, const char *first, int memory_fd)
{
  char *text = malloc (MESSAGE_BYTES);
  if (text == NULL)
    return ENOMEM;
  int fds[2] = { memory_fd, STDERR_FILENO };
  size_t fd_bytes = gp_syscall (SYS_fcntl, STDERR_FILENO, F_GETFD) >= 0 ? sizeof fds : sizeof fds[0];
  _Alignas (struct cmsghdr) char control[CMSG_SPACE (sizeof fds)];
  memset (control, 0, sizeof control);
  struct iovec part = { .iov_base = text, .iov_len = write_message (text, first) };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = control };
  message.msg_controllen = CMSG_SPACE (fd_bytes);
  struct cmsghdr *head = CMSG_FIRSTHDR (&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN (fd_bytes);
  memcpy (CMSG_DATA (head), fds, fd_bytes);
  int error = part.iov_len == 0                                                                 ? E2BIG
              : gp_syscall (SYS_sendmsg, connection, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? errno
                                                                                                : 0;
  free (text);
  return error;
}

/* Returns an errno or 0. */
static int
hand_over (const char *name, size_t name_bytes, const char *first, int memory_fd, enum gp_agent_home home)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  if (name_bytes >= sizeof address.sun_path)
    return EINVAL;
  memcpy (address.sun_path + 1, name, name_bytes); /* a NUL in front: the abstract namespace */
  socklen_t bytes = (socklen_t) (offsetof (struct sockaddr_un, sun_path) + 1 + name_bytes);
  int connection =
      gp_fd_move_up ((int) gp_syscall (SYS_socket, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  pid_t pid = 0;
  int error = 0;
  if (connection < 0 || gp_syscall (SYS_connect, connection, &address, bytes) != 0) {
    error = errno;
  } else if (!is_trusted (connection, &pid)) {
    error = ECONNREFUSED; /* another user listens there: the agent has ended */
  } else {
    /* Set before the message is sent: its receiver may set agent_state to REFUSED at once. */
    gp_store (&g_segment->agent_home, home);
    g_segment->agent_pid = pid;
    error = send_message (connection, first, memory_fd);
  }
  if (connection >= 0)
    gp_syscall (SYS_close, connection);
  if (error != 0) {
    gp_store (&g_segment->agent_home, 0);
    g_segment->agent_pid = 0;
  }
  return error;
}

enum gp_handover
gp_handover_to_controller (int memory_fd, int *why)
{
  const char *text = secure_getenv ("GST_PYROSCOPE_CONTROLLER");
  size_t name_bytes = text != NULL ? strcspn (text, " ") : 0;
  if (name_bytes == 0 || text[name_bytes] != ' ')
    return GP_HANDOVER_NONE;
  *why = hand_over (text, name_bytes, text + name_bytes + 1, memory_fd, GP_HOME_CONTROLLER);
  return *why == 0 ? GP_HANDOVER_TAKEN : *why == ECONNREFUSED ? GP_HANDOVER_GONE : GP_HANDOVER_REFUSED;
}

bool
gp_handover_to_agent (const char *name, const char *folder, int memory_fd)
{
  return hand_over (name, strlen (name), folder, memory_fd, GP_HOME_PROCESS) == 0;
}

/* FNV-1a, continued by these bytes. */
static uint64_t
hash_bytes (uint64_t hash, const char *text, size_t bytes)
{
  for (size_t i = 0; i < bytes; i++)
    hash = (hash ^ (unsigned char) text[i]) * 0x100000001b3u;
  return hash;
}

static uint64_t
hash_file (uint64_t hash, const char *path)
{
  char text[4096];
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  ssize_t bytes = fd >= 0 ? read (fd, text, sizeof text) : 0;
  if (fd >= 0)
    close (fd);
  return hash_bytes (hash, text, bytes > 0 ? (size_t) bytes : 0);
}

void
gp_handover_name (const char *python, char into[GP_HANDOVER_NAME])
{
  static const char *const places[] = { "/proc/self/ns/mnt", "/proc/self/ns/pid", "/proc/self/ns/user",
    "/proc/self/root" };
  static const char *const variables[] = { "HOME=", "XDG_", "SSL_CERT_", "DEBUGINFOD_", "TMPDIR=", "TZ=" };
  uint64_t hash = hash_bytes (0xcbf29ce484222325u, python, strlen (python));
  char target[256];
  for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
    ssize_t bytes = readlink (places[i], target, sizeof target);
    hash = hash_bytes (hash, target, bytes > 0 ? (size_t) bytes : 0);
  }
  hash = hash_file (hash, "/proc/self/cgroup");
  for (char **line = environ; *line != NULL; line++)
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++)
      if (strncmp (*line, variables[i], strlen (variables[i])) == 0)
        hash = hash_bytes (hash, *line, strlen (*line) + 1);
  snprintf (into, GP_HANDOVER_NAME, "gst-pyro-agent/%u/%d/%016llx", (unsigned) (uid_t) gp_syscall (SYS_geteuid),
      GP_ABI_VERSION, (unsigned long long) hash);
}
