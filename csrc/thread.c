/* SPDX-License-Identifier: MIT */
/* thread.c: the registry of the host's threads, and how a thread comes to it and leaves it by itself.
 *
 * Threads come in three ways: through our trampoline (workers.c), by their first hook, or found by the poller
 * (thread_poll.c). They go by a key destructor (pthread_exit and cancellation too), or vanish.
 *
 * Locking: g_registry is taken by attach, detach and the poller, never by hooks on their steady path, never by the
 * handler. No call out to the host is made under it.
 *
 * Context: lifecycle and poller; gp_thread_from_*() and gp_thread_slot() are signal.
 */
#define _GNU_SOURCE
#include "thread.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "label.h"
#include "python.h"
#include "sampler.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

#define ENDING ((struct gp_thread *) 1)
#define DESTRUCTOR_ROUNDS 3 /* others' destructors may still use CPU: go last (PTHREAD_DESTRUCTOR_ITERATIONS is 4) */
/* Lent to threads that have no alternate stack; a host's own SA_ONSTACK handlers, crash reporters say, run on it too.
 */
#define SIGNAL_STACK_BYTES 32768
#define SIGNAL_FRAME_BYTES 8192 /* where the kernel does not tell: AVX-512 needs less than half */

__thread struct gp_thread *t_thread __attribute__ ((tls_model ("initial-exec")));

pthread_mutex_t g_registry = PTHREAD_MUTEX_INITIALIZER;
struct gp_thread *g_threads; /* GP_THREADS of them; index = slot */
static uint32_t g_cursor;    /* where the next free slot is looked for; under g_registry */
uint16_t *g_perf_slots;
static pthread_key_t g_end_key;

bool
gp_thread_set_perf_fd (struct gp_thread *thread, int fd)
{
  if (fd >= GP_PERF_FDS)
    return false;
  thread->perf_fd = fd;
  if (fd >= 0)
    gp_store (&g_perf_slots[fd], (uint16_t) (gp_thread_slot (thread) + 1));
  return true;
}

/* What a slot needs besides itself, kept for its next user: the handler's scratch, alternate stack, first entries and
 * tallies. The stack would run over into the scratch's far end, which hardly any sample reaches: no guard page, which
 * costs a mapping a thread. */
static bool
make_room (struct gp_thread *thread)
{
  if (thread->frames != NULL)
    return true;
  size_t frames = GP_MAX_FRAMES * sizeof (uint64_t), entries = GP_FIRST_ENTRIES * sizeof (struct gp_boundary);
  size_t frame = getauxval (AT_MINSIGSTKSZ);
  size_t stack = SIGNAL_STACK_BYTES + ((frame != 0 ? frame : SIGNAL_FRAME_BYTES) + 4095) / 4096 * 4096;
  char *room = mmap (NULL, frames + stack + entries + sizeof (struct gp_slab), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED)
    return false;
  uintptr_t lo = (uintptr_t) room + frames;
  thread->signal_stack = (struct gp_stack) { .lo = lo, .hi = lo + stack };
  thread->first_entries = (struct gp_boundary *) (lo + stack);
  thread->slabs = (struct gp_slab *) (lo + stack + entries);
  thread->frames = (uint64_t *) room;
  return true;
}

/* One that was used before, where there is one: each costs memory for good once it was used. GP_THREADS: none. */
static uint32_t
find_free_slot (void)
{
  uint32_t used = g_segment->threads_used;
  for (uint32_t i = 0; i < used; i++) {
    uint32_t index = (g_cursor + i) % used;
    if (gp_load_acquire (&g_segment->threads[index].state) == GP_SLOT_FREE) { /* pairs with the agent's release */
      g_cursor = index + 1;
      return index;
    }
  }
  return used;
}

/* A free slot, filled in but not ready. */
struct gp_thread *
gp_thread_take_slot (pid_t tid, clockid_t clock, uint32_t base)
{
  uint32_t index = find_free_slot ();
  struct gp_thread *thread = &g_threads[index];
  if (index == GP_THREADS || !make_room (thread)) {
    gp_count (GP_COUNTER_THREADS_FULL);
    return NULL;
  }
  struct gp_thread_slot *slot = &g_segment->threads[index];
  thread->entries = thread->first_entries;
  thread->capacity = GP_FIRST_ENTRIES;
  thread->depth = 0;
  thread->base = base;
  thread->python_label = GP_PYTHON_UNTAGGED;
  thread->task = thread->renders = thread->in_handler = thread->first_tick = false;
  thread->work_mutex = NULL;
  thread->in_construction = thread->born_in = 0;
  thread->unlinked_pad = thread->probed_pad = NULL;
  memset (&thread->root, 0, sizeof thread->root);
  memset (&thread->stack, 0, sizeof thread->stack);
  memset (&thread->meter, 0, sizeof thread->meter);
  thread->cpu_clock = clock;
  thread->perf_fd = thread->timer = -1;
  thread->exit_rounds = 0;
  thread->seen = true;
  slot->serial++;
  slot->tid = tid;
  if (index == g_segment->threads_used)
    gp_store (&g_segment->threads_used, index + 1);
  gp_add (&g_segment->threads_seen, 1);
  gp_store_release (&slot->state, GP_SLOT_LIVE);
  thread->tid = tid;
  return thread;
}

void
gp_thread_end_slot (struct gp_thread *thread, bool own)
{
  atomic_store_explicit (&thread->ready, false, memory_order_release);
  gp_sampler_disarm (thread);
  gp_account_end (thread, own);
  thread->ended_cpu_ns = own ? thread->meter.cpu_ns : UINT64_MAX;
  thread->ended_ns = gp_clock_ns (CLOCK_BOOTTIME);
  if (thread->entries != thread->first_entries)
    munmap (thread->entries, thread->capacity * sizeof thread->entries[0]);
  thread->entries = thread->first_entries;
  thread->depth = 0;
  thread->tid = 0;
  gp_store_release (&g_segment->threads[gp_thread_slot (thread)].state, GP_SLOT_ENDED);
}

struct gp_thread *
gp_thread_find_tid (pid_t tid, uint32_t *hint)
{
  uint32_t used = g_segment->threads_used;
  for (uint32_t i = 0; i < used; i++) {
    uint32_t index = (*hint + i) % used;
    /* The segment's table first, it is a fiftieth in size; there, those that ended keep their tid. */
    if (g_segment->threads[index].tid == tid && g_threads[index].tid == tid) {
      *hint = index + 1;
      return &g_threads[index];
    }
  }
  return NULL;
}

/* Key destructor: the thread's last account. */
static void
on_thread_end (void *data)
{
  struct gp_thread *thread = data;
  if (!atomic_load (&g_active) || t_thread != thread)
    return;
  if (++thread->exit_rounds < DESTRUCTOR_ROUNDS && pthread_setspecific (g_end_key, thread) == 0)
    return;
  t_thread = ENDING;
  /* Before we look: the handler of a thread that is ready lends the stack, whose next user is another thread. */
  atomic_store_explicit (&thread->ready, false, memory_order_relaxed);
  atomic_signal_fence (memory_order_seq_cst);
  stack_t now;
  if (sigaltstack (NULL, &now) == 0 && (uintptr_t) now.ss_sp == thread->signal_stack.lo) {
    stack_t none = { .ss_flags = SS_DISABLE };
    sigaltstack (&none, NULL);
  }
  /* As in gp_thread_attach(): a thread can be cancelled until its destructors are done. */
  int cancel;
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &cancel);
  pthread_mutex_lock (&g_registry);
  prctl (PR_GET_NAME, g_segment->threads[gp_thread_slot (thread)].comm);
  gp_thread_end_slot (thread, true);
  pthread_mutex_unlock (&g_registry);
  pthread_setcancelstate (cancel, NULL);
}

static struct gp_stack
find_own_stack (void)
{
  struct gp_stack stack = { .lo = 0 };
  pthread_attr_t attr;
  void *low;
  size_t bytes;
  if (pthread_getattr_np (pthread_self (), &attr) != 0)
    return stack;
  if (pthread_attr_getstack (&attr, &low, &bytes) == 0)
    stack = (struct gp_stack) { .lo = (uintptr_t) low, .hi = (uintptr_t) low + bytes };
  pthread_attr_destroy (&attr);
  return stack;
}

static void
lend_signal_stack (struct gp_thread *thread)
{
  stack_t now;
  if (sigaltstack (NULL, &now) != 0 || (now.ss_flags & SS_DISABLE) == 0)
    return;
  stack_t ours = { .ss_sp = (void *) thread->signal_stack.lo,
    .ss_size = thread->signal_stack.hi - thread->signal_stack.lo };
  sigaltstack (&ours, NULL);
}

static struct gp_thread *
attach (clockid_t clock, uint32_t base, uint32_t before, const struct gp_boundary *root)
{
  pid_t tid = (pid_t) syscall (SYS_gettid);
  uint32_t hint = 0;
  struct gp_stack stack = find_own_stack (); /* allocates, on main it reads /proc: not under the lock */
  pthread_mutex_lock (&g_registry);
  struct gp_thread *thread = gp_thread_find_tid (tid, &hint);
  bool found = thread != NULL;
  if (!found)
    thread = gp_thread_take_slot (tid, clock, base);
  if (thread != NULL) {
    atomic_store_explicit (&thread->ready, false, memory_order_relaxed);
    atomic_signal_fence (memory_order_seq_cst);
    if (stack.lo != 0)
      thread->stack = stack;
    lend_signal_stack (thread);
    if (root != NULL)
      thread->root = *root;
    if (!found)
      gp_account_open (thread, gp_clock_ns (CLOCK_THREAD_CPUTIME_ID), before, base);
    else
      gp_label_set_base (thread, base);
    gp_sampler_arm (thread);
    prctl (PR_GET_NAME, g_segment->threads[gp_thread_slot (thread)].comm);
    atomic_store_explicit (&thread->ready, true, memory_order_release); /* pairs with the acquire in gp_handler() */
    t_thread = thread;
  }
  pthread_mutex_unlock (&g_registry);
  if (thread != NULL)
    pthread_setspecific (g_end_key, thread);
  return thread;
}

struct gp_thread *
gp_thread_attach (uint32_t base, uint32_t before, const struct gp_boundary *root)
{
  int saved_errno = errno, cancel;
  clockid_t clock;
  if (pthread_getcpuclockid (pthread_self (), &clock) != 0)
    return NULL;
  t_thread = ENDING; /* hooks that our own calls below run into find no half-built state */
  /* close() is a cancellation point: a thread that is being cancelled would take the lock along. */
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &cancel);
  struct gp_thread *thread = attach (clock, base, before, root);
  pthread_setcancelstate (cancel, NULL);
  errno = saved_errno;
  return thread;
}

struct gp_thread *
gp_thread_attach_self (void)
{
  bool main_thread = (pid_t) syscall (SYS_gettid) == g_segment->host_pid;
  uint32_t base = gp_label_fixed (main_thread ? GP_LABEL_MAIN : GP_LABEL_THREAD);
  return gp_thread_attach (base, main_thread ? gp_label_fixed (GP_LABEL_BEFORE) : base, NULL);
}

int
gp_threads_init (void)
{
  void *threads = mmap (NULL, GP_THREADS * sizeof (struct gp_thread), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void *slots = mmap (NULL, GP_PERF_FDS * sizeof (uint16_t), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (threads == MAP_FAILED || slots == MAP_FAILED)
    return ENOMEM;
  g_threads = threads;
  g_perf_slots = slots;
  return pthread_key_create (&g_end_key, on_thread_end);
}
