/* SPDX-License-Identifier: MIT */
/* dlopen.c: replacements of dlopen() and dlclose().
 *
 * dlopen() finds out by its return address which module called it: a name without "/" is searched for along that
 * module's RUNPATH or RPATH, and "$ORIGIN" is that module's folder. Called from here, it would search along ours.
 *
 * So a name with "/" and without "$" is opened from here, and a pass redirects the new modules before the host gets the
 * handle. Nothing else depends on the caller: the library finds its own dependencies by its own paths. Any other name
 * is left to dlopen() by a jump, with the caller's own return address. A flag then asks for a pass, which the next
 * pthread_create() or the poller makes.
 *
 * Context: lifecycle, on the host's threads. Constructors run within dlopen(), destructors within dlclose(), and may
 * call these functions again.
 */
#define _GNU_SOURCE
#include "shim/calls/dlopen.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>
#include "shim/home/embed.h"
#include "shim/modules/modules.h"
#include "shim/redirect/redirect.h"

void *g_real_dlopen;
void *g_real_dlclose;

typedef void *(*dlopen_function) (const char *, int);
typedef int (*dlclose_function) (void *);

static void *
open_here (const char *name, int mode)
{
  void *handle = ((dlopen_function) g_real_dlopen) (name, mode);
  if (handle != NULL && atomic_load (&g_active)) {
    int saved_errno = errno;
    gp_redirect_pass ();
    gp_modules_refresh ();
    errno = saved_errno;
  }
  return handle;
}

/* The function that gp_redirect_dlopen() jumps to. Called by the assembler below, which the compiler does not see. */
__attribute__ ((used)) GP_INTERNAL dlopen_function gp_redirect_route_dlopen (const char *name, int mode);

dlopen_function
gp_redirect_route_dlopen (const char *name, int mode)
{
  if (name == NULL || (mode & RTLD_NOLOAD) != 0 || !atomic_load (&g_active))
    return (dlopen_function) g_real_dlopen;
  gp_embed_before_dlopen (name);
  if ((mode & RTLD_DEEPBIND) != 0)
    atomic_store_explicit (&g_redirect_deepbind, true, memory_order_relaxed); /* orders nothing: set before the call */
  if (strchr (name, '/') != NULL && strchr (name, '$') == NULL)
    return open_here;
  /* Relaxed: a hint that orders nothing. The module is not listed yet, and a pass clears the flag only where it found
   * something new; a module that is listed too late for every such pass is found by the poller. */
  atomic_store_explicit (&g_redirect_pending, true, memory_order_relaxed);
  gp_futex_signal (&g_segment->poll); /* at once: the driver that libGL loads this way makes threads a moment later */
  return (dlopen_function) g_real_dlopen;
}

/* gp_redirect_dlopen(): saves the arguments, calls gp_redirect_route_dlopen(), restores them, and jumps to what it
 * returned. In assembler, since a C compiler guarantees no tail call (and makes none with sanitizers or without
 * optimization). */
#if defined(__x86_64__)
__asm__ (".pushsection .text.gp_redirect_dlopen, \"ax\", @progbits\n"
         ".globl gp_redirect_dlopen\n"
         ".hidden gp_redirect_dlopen\n"
         ".type gp_redirect_dlopen, @function\n"
         ".balign 16\n"
         "gp_redirect_dlopen:\n"
         "  .cfi_startproc\n"
         "  endbr64\n"
         "  pushq %rdi\n"
         "  .cfi_adjust_cfa_offset 8\n"
         "  pushq %rsi\n"
         "  .cfi_adjust_cfa_offset 8\n"
         "  subq $8, %rsp\n"
         "  .cfi_adjust_cfa_offset 8\n"
         "  call gp_redirect_route_dlopen\n"
         "  addq $8, %rsp\n"
         "  .cfi_adjust_cfa_offset -8\n"
         "  popq %rsi\n"
         "  .cfi_adjust_cfa_offset -8\n"
         "  popq %rdi\n"
         "  .cfi_adjust_cfa_offset -8\n"
         "  jmp *%rax\n"
         "  .cfi_endproc\n"
         ".size gp_redirect_dlopen, . - gp_redirect_dlopen\n"
         ".popsection\n");
#elif defined(__aarch64__)
__asm__ (".pushsection .text.gp_redirect_dlopen, \"ax\", @progbits\n"
         ".globl gp_redirect_dlopen\n"
         ".hidden gp_redirect_dlopen\n"
         ".type gp_redirect_dlopen, @function\n"
         ".balign 16\n"
         "gp_redirect_dlopen:\n"
         "  .cfi_startproc\n"
         "  hint #34\n" /* bti c */
         "  stp x29, x30, [sp, #-32]!\n"
         "  .cfi_def_cfa_offset 32\n"
         "  .cfi_offset x29, -32\n"
         "  .cfi_offset x30, -24\n"
         "  mov x29, sp\n"
         "  stp x0, x1, [sp, #16]\n"
         "  bl gp_redirect_route_dlopen\n"
         "  mov x16, x0\n"
         "  ldp x0, x1, [sp, #16]\n"
         "  ldp x29, x30, [sp], #32\n"
         "  .cfi_restore x30\n"
         "  .cfi_restore x29\n"
         "  .cfi_def_cfa_offset 0\n"
         "  br x16\n"
         "  .cfi_endproc\n"
         ".size gp_redirect_dlopen, . - gp_redirect_dlopen\n"
         ".popsection\n");
#else
#error "gst-pyro-shim knows x86-64 and aarch64 only"
#endif

int
gp_redirect_dlclose (void *handle)
{
  if (!atomic_load (&g_active))
    return ((dlclose_function) g_real_dlclose) (handle);
  gp_modules_close_begin ();
  int result = ((dlclose_function) g_real_dlclose) (handle);
  int saved_errno = errno;
  gp_modules_close_end ();
  errno = saved_errno;
  return result;
}
