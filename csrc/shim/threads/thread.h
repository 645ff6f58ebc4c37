/* SPDX-License-Identifier: MIT */
/* thread.h: what we keep for each thread of the host, and how threads come under our eyes.
 *
 * One struct gp_thread a thread, out of one fixed array; its index is the thread's slot in the segment. A thread finds
 * its own through one initial-exec TLS pointer (a plugin loaded late has little static TLS). The registry lock orders
 * attach, detach and the poller; hooks and handler never take it.
 *
 * Context: said at each function.
 */
#ifndef GP_THREAD_H
#define GP_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "shim/labels/account.h"
#include "shim/base/segment.h"
#include "shared/row_table.h"
#include "shim/signal/unwind.h"

enum
{
  GP_MAX_FRAMES = 8192, /* of one stack; what is deeper is truncated and counted */
  GP_FIRST_ENTRIES = 32,
  GP_PAD_SETS_LOG2 = 7,
  GP_MORE_PAD_SETS_LOG2 = 12,
  GP_PAD_WAYS = 4,
  GP_PERF_FDS = 65536,         /* descriptors beyond it get a timer instead */
  GP_UNWIND_STACK_BYTES = 4096 /* what the handler calls uses: tests/native/test_stack_budget.py measures it */
};

/* What a pad's own or peer element is labelled; valid in one generation of the pad (elements.h), on any thread. */
struct gp_pad_cache
{
  uintptr_t key; /* the pad's address; low bits: enum gp_pad_side */
  uint32_t generation;
  uint32_t label;
};

/* Pads whose addresses meet here, latest first; one cache line. */
struct gp_pad_set
{
  struct gp_pad_cache ways[GP_PAD_WAYS];
} __attribute__ ((aligned (64)));

struct gp_thread
{
  /* owned by the thread, read by its own handler */
  struct gp_boundary *entries;
  uint32_t depth;
  uint32_t capacity;
  uint32_t base;
  bool task;          /* runs a GStreamer task whose element is not known yet */
  _Atomic bool ready; /* false: half built or ending; the handler gives up */
  bool in_handler;
  /* of other threads' work, each explained in the file it names */
  bool renders;               /* a software renderer's worker: renderers.c */
  const void *work_mutex;     /* of its queue; NULL: not known */
  const void *work_condition; /* likewise */
  uint32_t in_construction;   /* of the element that the thread is making; 0: none; construction.c */
  uint32_t born_in;           /* in the construction of whose element, while that is not known; 0: none */
  /* its latest push of an event over a pad without an element of its own, while it lasts; probes.c */
  const void *probed_pad; /* NULL: none; never followed */
  uint32_t probed_label;  /* who pushes */
  /* its latest push of an event over a source pad without a peer, while it lasts; hooks.c */
  const void *unlinked_pad; /* NULL: none; never followed */
  struct gp_boundary unlinked_push;
  uint32_t python_label; /* whose tags pyroscope-io has for it, and that label's serial; python_tags.c */
  uint32_t python_serial;
  bool first_tick;              /* the perf event still has its random first period */
  _Atomic bool event_rests;     /* the timer sees user code as well; handler.c, and the poller ends it */
  uint32_t calm_ticks;          /* samples since the thread last slept */
  long sleeps;                  /* how often it has slept, at the last sample */
  struct gp_boundary root;      /* the frame that called the thread's function; sp 0: not known */
  struct gp_stack stack;        /* lo 0: not known */
  struct gp_stack signal_stack; /* ours; lo 0: the thread had one of its own */
  uint64_t *frames;             /* the handler's scratch, GP_MAX_FRAMES */
  struct gp_boundary *first_entries;
  struct gp_pad_set *more_pads; /* NULL: none had to be moved there yet */
  /* in the thread's room, with frames, signal_stack and first_entries */
  struct gp_slab *first_slab;
  struct gp_tally **first_table; /* GP_FIRST_TABLE of them */
  struct gp_pad_set *pads;       /* 1 << GP_PAD_SETS_LOG2 of them */
  /* owned by the thread, closed by the poller: account.h */
  struct gp_meter meter;
  /* under the registry lock */
  pid_t tid; /* 0: the slot is free */
  clockid_t cpu_clock;
  int perf_fd;                   /* -1: none */
  int timer;                     /* kernel timer id, -1: none */
  int exit_rounds;               /* rounds of key destructors seen */
  uint64_t rest_ns, rest_cpu_ns; /* when its event was last seen to rest, and its CPU time then */
  uint32_t seen;                 /* the poller's last pass that met it */
  /* by thread id */
  int32_t next_of_id; /* slot, -1: none */
  bool has_id;        /* it is in a list of these */
};

/* The last thread with an id that has ended, which may be in the kernel's list for a while. */
struct gp_ended
{
  pid_t tid;
  uint64_t cpu_ns; /* UINT64_MAX: it vanished */
  uint64_t ns;     /* CLOCK_BOOTTIME */
};

/* GP_THREADS of them; index = slot. Immutable after gp_threads_init(). */
extern GP_INTERNAL struct gp_thread *g_threads;
/* Slot + 1 by descriptor of its perf event; written under the registry lock, read by handlers. */
extern GP_INTERNAL uint16_t *g_perf_slots;

/* MT-Safe | AS-Safe, these three. NULL: not ours. */
static inline uint32_t
gp_thread_slot (const struct gp_thread *thread)
{
  return (uint32_t) (thread - g_threads);
}

static inline struct gp_thread *
gp_thread_from_cookie (const void *cookie)
{
  uintptr_t offset = (uintptr_t) cookie - (uintptr_t) g_threads;
  if (offset >= GP_THREADS * sizeof (struct gp_thread) || offset % sizeof (struct gp_thread) != 0)
    return NULL;
  return &g_threads[offset / sizeof (struct gp_thread)];
}

static inline struct gp_thread *
gp_thread_from_perf_fd (int fd)
{
  uint16_t slot = fd >= 0 && fd < GP_PERF_FDS ? gp_load (&g_perf_slots[fd]) : 0;
  return slot != 0 ? &g_threads[slot - 1] : NULL;
}

/* Whether the event at the descriptor is still the thread's own: a host that closes all descriptors frees the numbers
 * of ours, and another thread's event may have got it since. MT-Safe | AS-Safe */
static inline bool
gp_thread_has_event (const struct gp_thread *thread)
{
  return thread->perf_fd >= 0 && gp_thread_from_perf_fd (thread->perf_fd) == thread;
}

extern GP_INTERNAL __thread struct gp_thread *t_thread __attribute__ ((tls_model ("initial-exec")));

/* The calling thread's state; made now where it has none. NULL: no slot was free, or the thread is ending.
 * MT-Safe | AS-Unsafe lock heap (first call on a thread) */
GP_INTERNAL struct gp_thread *gp_thread_attach_self (void);

static inline struct gp_thread *
gp_thread_current (void)
{
  struct gp_thread *thread = t_thread;
  if (__builtin_expect (thread == NULL, 0))
    return gp_thread_attach_self ();
  return __builtin_expect ((uintptr_t) thread == 1, 0) ? NULL : thread;
}

/* The same where it has one already; else NULL. MT-Safe | AS-Safe */
static inline struct gp_thread *
gp_thread_known (void)
{
  struct gp_thread *thread = t_thread;
  return (uintptr_t) thread <= 1 ? NULL : thread;
}

/* Lifecycle, once, on the thread that makes the tracer. Returns an errno or 0. */
GP_INTERNAL int gp_threads_init (void);

/* Poller: takes in threads that came behind our back, ends those that vanished. before: what the CPU of new ones so
 * far is labelled. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL void gp_threads_poll (uint32_t before);

/* Poller: closes the accounts of every thread, renews events that were lost, and wakes those that rest in vain. names:
 * reads their names anew too. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_threads_publish (bool names);

/* Poller: disarms all threads and those to come, or arms them again. The handler may still run on some.
 * MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_threads_disarm (void);
GP_INTERNAL void gp_threads_arm (void);

/* Sets the thread's event; false: the number is beyond what we keep. Requires: the registry lock. AS-Unsafe */
GP_INTERNAL bool gp_thread_set_perf_fd (struct gp_thread *thread, int fd);

/* The calling thread's state, newly made or, where the poller found it first, taken over. base: its label outside every
 * entry; before: what its CPU so far is labelled; root: the frame that called its function, or NULL. NULL: no slot was
 * free. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL struct gp_thread *gp_thread_attach (uint32_t base, uint32_t before, const struct gp_boundary *root);

/* Poller, thread_stacks.c: finds the stacks of threads whose own is not known. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL void gp_threads_learn_stacks (void);

/* Between thread.c, thread_slots.c, thread_poll.c and account_table.c. All but the lock itself require it. take_slot
 * returns a slot filled in but not ready, or NULL; end_slot with own = false is for a thread that vanished. find_tid:
 * alive; find_ended: how the last one with the id ended here, NULL: not known; note_end: remembers it. index_tid files
 * the slot under a thread id. */
extern GP_INTERNAL pthread_mutex_t g_registry;
extern GP_INTERNAL uint32_t g_pass; /* the poller's current one */
GP_INTERNAL struct gp_thread *gp_thread_take_slot (pid_t tid, clockid_t clock, uint32_t base);
GP_INTERNAL struct gp_thread *gp_thread_find_tid (pid_t tid);
GP_INTERNAL const struct gp_ended *gp_thread_find_ended (pid_t tid);
GP_INTERNAL void gp_thread_note_end (pid_t tid, uint64_t cpu_ns, uint64_t ns);
GP_INTERNAL void gp_thread_index_tid (struct gp_thread *thread, pid_t tid);
GP_INTERNAL void gp_thread_end_slot (struct gp_thread *thread, bool own);

/* As gp_threads_init(), which calls it. */
GP_INTERNAL int gp_thread_slots_init (void);

/* The slots in use: those of threads alive, and of ended ones that the agent has not read yet. Begin with 0; GP_NO_ROW
 * behind the last. MT-Safe | AS-Safe */
static inline uint32_t
gp_thread_next (uint32_t slot)
{
  return gp_row_next (GP_THREAD_TABLE (g_segment), GP_THREAD_WORDS, slot);
}

#endif
