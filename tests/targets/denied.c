/* SPDX-License-Identifier: MIT */
/* denied.c: runs argv[2...] where the system calls with the numbers argv[1] ("298,!222") are not permitted; one with a
 * "!" ends the process.
 *
 * Context: tests.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

enum
{
  MOST = 16
};

int
main (int argc, char **argv)
{
  struct sock_filter filter[2 * MOST + 2] = { BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)) };
  unsigned short length = 1;
  if (argc < 3)
    return 2;
  for (char *number = strtok (argv[1], ","); number != NULL && length < 2 * MOST; number = strtok (NULL, ",")) {
    bool ends = number[0] == '!';
    filter[length++] = (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, (unsigned) atoi (number + ends), 0, 1);
    filter[length++] =
        (struct sock_filter) BPF_STMT (BPF_RET | BPF_K, ends ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_ERRNO | EPERM);
  }
  filter[length++] = (struct sock_filter) BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  struct sock_fprog program = { length, filter };
  if (prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
    return 77;
  execvp (argv[2], argv + 2);
  perror (argv[2]);
  return 127;
}
