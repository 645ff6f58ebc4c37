/* SPDX-License-Identifier: MIT */
/* thread_state.h: the state of each thread of the host, and look-ups in it that change nothing.
 *
 * Each thread has one struct gp_thread of a fixed array, whose index is the thread's slot in the segment. A thread
 * finds its own by one initial-exec TLS pointer (a plugin that is loaded late has little static TLS). threads/thread.h
 * attaches and ends threads, ordered by the registry lock. Neither hooks on their steady path nor the handler take that
 * lock.
 *
 * Context: said at each function; most are for every context.
 */
#ifndef GP_THREAD_STATE_H
#define GP_THREAD_STATE_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include "shared/row_table.h"
#include "shim/base/account_state.h"
#include "shim/base/segment.h"

/* A frame that called into us, by its registers after our return: where a label begins, or where a thread's function
 * was called. */
struct gp_boundary
{
  uintptr_t pc; /* return address */
  uintptr_t sp; /* frames run for the label have a CFA at or below it */
  uintptr_t bp;
  uint32_t label; /* 0: none, only a frame at which the unwinder may resume */
};

/* Memory that may be read as the thread's stack: mapped down to lo, or growing on demand. */
struct gp_stack
{
  uintptr_t lo, hi;
  uintptr_t alt_lo, alt_hi; /* its alternate signal stack; 0: none */
};

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

/* The label of a pad's own or peer element; valid in one generation of the pad (elements.h), on any thread. */
struct gp_pad_cache
{
  uintptr_t key; /* the pad's address; low bits: enum gp_pad_side */
  uint32_t generation;
  uint32_t label;
};

/* Pads whose addresses hash to this set, latest first; one cache line. */
struct gp_pad_set
{
  struct gp_pad_cache ways[GP_PAD_WAYS];
} __attribute__ ((aligned (64)));

/* python_label of a thread that never had tags. */
#define GP_PYTHON_UNTAGGED UINT32_MAX

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
  /* for work on behalf of other threads; the file that is named explains it */
  bool renders;               /* a software renderer's worker: renderers.c */
  const void *work_mutex;     /* of its queue; NULL: not known */
  const void *work_condition; /* likewise */
  uint32_t in_construction;   /* of the element that the thread is making; 0: none; construction.c */
  uint32_t born_in;           /* the construction that it was made in, until its element is known; 0: none */
  /* its latest push of an event over a pad that has no element, as long as that lasts; probes.c */
  const void *probed_pad; /* NULL: none; never followed */
  uint32_t probed_label;  /* of the element that pushes */
  /* its latest push of an event over a source pad that has no peer, as long as that lasts; hooks.c */
  const void *unlinked_pad; /* NULL: none; never followed */
  struct gp_boundary unlinked_push;
  uint32_t python_label; /* the label whose tags pyroscope-io has for this thread, and its serial; python_tags.c */
  uint32_t python_serial;
  bool first_tick;              /* the perf event still has its random first period */
  _Atomic bool event_rests;     /* the event is disabled, and the timer samples user code too: threads/sampler.h */
  uint32_t calm_ticks;          /* samples since the thread last slept */
  long sleeps;                  /* how often it has slept, at the last sample */
  struct gp_boundary root;      /* the frame that called the thread's function; sp 0: not known */
  struct gp_stack stack;        /* lo 0: not known */
  struct gp_stack signal_stack; /* ours; lo 0: the thread had one of its own */
  uint64_t *frames;             /* the handler's scratch, GP_MAX_FRAMES */
  struct gp_boundary *first_entries;
  struct gp_pad_set *more_pads; /* NULL: none had to be moved there yet */
  /* in the thread's memory, with frames, signal_stack and first_entries: thread_slots.c */
  struct gp_slab *first_slab;
  struct gp_tally **first_table; /* GP_FIRST_TABLE of them */
  struct gp_pad_set *pads;       /* 1 << GP_PAD_SETS_LOG2 of them */
  /* owned by the thread, published by the poller: account.h */
  struct gp_meter meter;
  /* under the registry lock */
  pid_t tid; /* 0: the slot is free */
  clockid_t cpu_clock;
  int perf_fd;                   /* -1: none */
  int timer;                     /* kernel timer id, -1: none */
  int exit_rounds;               /* rounds of key destructors seen */
  uint64_t rest_ns, rest_cpu_ns; /* when the poller last saw its event rest, and its CPU time then */
  uint32_t seen;                 /* the poller's last pass that found it */
  /* by thread id */
  int32_t next_of_id; /* slot, -1: none */
  bool has_id;        /* it is in one of the lists by id */
};

/* GP_THREADS of them; index = slot. Immutable after gp_threads_init(). */
extern GP_INTERNAL struct gp_thread *g_threads;
/* Slot + 1 by descriptor of its perf event; written under the registry lock, read by handlers. */
extern GP_INTERNAL uint16_t *g_perf_slots;

/* These three: MT-Safe | AS-Safe. NULL: no thread of ours. */
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

/* Whether the event at the descriptor is still the thread's own. A host that closes all descriptors frees the numbers
 * of ours too, and another thread's event may have got the number since. MT-Safe | AS-Safe */
static inline bool
gp_thread_has_event (const struct gp_thread *thread)
{
  return thread->perf_fd >= 0 && gp_thread_from_perf_fd (thread->perf_fd) == thread;
}

extern GP_INTERNAL __thread struct gp_thread *t_thread __attribute__ ((tls_model ("initial-exec")));

/* Makes the state of a thread that has none. threads/thread.c sets it before g_active. Returns NULL where no slot was
 * free. MT-Safe | AS-Unsafe lock heap */
extern GP_INTERNAL struct gp_thread *(*g_thread_attach_self) (void);

/* The calling thread's state, made now where it has none. NULL: no slot was free, or the thread is ending.
 * MT-Safe | AS-Unsafe lock heap (first call on a thread) */
static inline struct gp_thread *
gp_thread_current (void)
{
  struct gp_thread *thread = t_thread;
  if (__builtin_expect (thread == NULL, 0))
    return g_thread_attach_self ();
  return __builtin_expect ((uintptr_t) thread == 1, 0) ? NULL : thread;
}

/* The calling thread's state where it has one; else NULL. MT-Safe | AS-Safe */
static inline struct gp_thread *
gp_thread_known (void)
{
  struct gp_thread *thread = t_thread;
  return (uintptr_t) thread <= 1 ? NULL : thread;
}

/* Placed in each function that allocates, waits or takes a lock, and so must never run in the handler of a tick.
 * Checked with -DGP_DEBUG alone, in tests' builds with a sanitizer: a violation ends the process. A thread that has not
 * attached itself yet (the poller found it) is not checked. */
#if defined(GP_DEBUG)
#define GP_ASSERT_NOT_IN_SIGNAL() gp_assert_not_in_signal (__func__)
/* MT-Safe | AS-Safe */
GP_INTERNAL void gp_assert_not_in_signal (const char *function);
#else
#define GP_ASSERT_NOT_IN_SIGNAL() ((void) 0)
#endif

/* Orders attach, detach and the poller. Never taken by hooks on their steady path, nor by the handler. */
extern GP_INTERNAL pthread_mutex_t g_registry;

/* MT-Safe lock | AS-Unsafe lock, both. */
static inline void
gp_registry_lock (void)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  pthread_mutex_lock (&g_registry);
}

static inline void
gp_registry_unlock (void)
{
  pthread_mutex_unlock (&g_registry);
}

/* The label in force at stack pointer sp. Entries below sp are dead, and skipped. MT-Safe | AS-Safe */
static inline uint32_t
gp_label_current (const struct gp_thread *thread, uintptr_t sp)
{
  for (uint32_t i = thread->depth; i > 0; i--)
    if (thread->entries[i - 1].sp >= sp)
      return thread->entries[i - 1].label;
  return thread->base;
}

/* Iterates over the slots in use: of live threads, and of ended ones that the agent has not read yet. Returns the first
 * one from slot on; GP_NO_ROW behind the last. MT-Safe | AS-Safe */
static inline uint32_t
gp_thread_next (uint32_t slot)
{
  return gp_row_next (GP_THREAD_TABLE (g_segment), GP_THREAD_WORDS, slot);
}

#endif
