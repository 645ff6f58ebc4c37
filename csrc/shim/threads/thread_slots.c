/* SPDX-License-Identifier: MIT */
/* thread_slots.c: the slots of the registry: taking one, its memory, finding it by thread id, ending it.
 *
 * All of it requires the registry lock. The cost does not depend on how many threads there are or were.
 *
 * Context: lifecycle and poller.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <time.h>
#include "shim/threads/sampler.h"
#include "shim/threads/thread.h"
#include "shim/labels/account.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif

/* Lent to threads that have no alternate stack. The host's own SA_ONSTACK handlers, of a crash reporter say, run on it
 * too. */
#define SIGNAL_STACK_BYTES 32768
#define SIGNAL_FRAME_BYTES 8192 /* where the kernel does not report it; AVX-512 needs less than half */

uint32_t g_pass;
static int32_t g_ids[GP_THREADS];           /* first slot of each list by thread id, -1: none */
static struct gp_ended g_ended[GP_THREADS]; /* by thread id */
static uint32_t g_slots_live;               /* threads alive */
static char *g_spare_blocks;                /* a list; NULL: none */
static uint32_t g_spare_count;

static size_t
signal_stack_bytes (void)
{
  size_t frame = getauxval (AT_MINSIGSTKSZ);
  return SIGNAL_STACK_BYTES + ((frame != 0 ? frame : SIGNAL_FRAME_BYTES) + 4095) / 4096 * 4096;
}

enum
{
  FRAMES_BYTES = GP_MAX_FRAMES * sizeof (uint64_t),
  ENTRIES_BYTES = GP_FIRST_ENTRIES * sizeof (struct gp_boundary),
  TABLE_BYTES = GP_FIRST_TABLE * sizeof (struct gp_tally *),
  PADS_BYTES = sizeof (struct gp_pad_set) << GP_PAD_SETS_LOG2,
  SPARE_BLOCKS = 32 /* kept, besides one for each four threads */
};

_Static_assert (FRAMES_BYTES % 64 == 0, "the cache of pads is behind them");
_Static_assert (sizeof (struct gp_slab) % 8 == 0, "a table of pointers is behind it");

static size_t
block_bytes (void)
{
  return FRAMES_BYTES + signal_stack_bytes () + PADS_BYTES + sizeof (struct gp_slab) + TABLE_BYTES + ENTRIES_BYTES;
}

/* Takes the memory that a thread needs besides its slot: the handler's frames[], alternate stack, cache of pads, first
 * tallies and entries. It has no guard page, which would cost a mapping for each thread: an overflow of the stack runs
 * into the end of frames[], which hardly any sample reaches. */
static bool
take_block (struct gp_thread *thread)
{
  char *block = g_spare_blocks;
  if (block != NULL) {
    memcpy (&g_spare_blocks, block, sizeof g_spare_blocks); /* a spare block begins with the address of the next */
    g_spare_count--;
  } else {
    block = mmap (NULL, block_bytes (), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  if (block == MAP_FAILED)
    return false;
  char *at = block + FRAMES_BYTES;
  thread->frames = (uint64_t *) block;
  thread->signal_stack = (struct gp_stack) { .lo = (uintptr_t) at, .hi = (uintptr_t) at + signal_stack_bytes () };
  thread->pads = (struct gp_pad_set *) (at += signal_stack_bytes ());
  thread->first_slab = (struct gp_slab *) (at += PADS_BYTES);
  thread->first_table = (struct gp_tally **) (at += sizeof (struct gp_slab));
  thread->first_entries = (struct gp_boundary *) (at + TABLE_BYTES);
  return true;
}

static void
unmap_spare_block (void)
{
  char *block = g_spare_blocks;
  memcpy (&g_spare_blocks, block, sizeof g_spare_blocks);
  g_spare_count--;
  munmap (block, block_bytes ());
}

/* Whether the thread ends on the alternate stack that we lent it: a handler of the host's runs there, and called
 * pthread_exit(). */
static bool
runs_on_lent_stack (const struct gp_thread *thread)
{
  uintptr_t here = (uintptr_t) __builtin_frame_address (0);
  return here >= thread->signal_stack.lo && here < thread->signal_stack.hi;
}

/* Keeps the memory for the next thread, at once; the slot itself waits for the agent. own: the thread itself ends. */
static void
release_block (struct gp_thread *thread, bool own)
{
  char *block = own && runs_on_lent_stack (thread) ? NULL : (char *) thread->frames; /* NULL: it is never reused */
  if (thread->more_pads != NULL)
    munmap (thread->more_pads, sizeof (struct gp_pad_set) << GP_MORE_PAD_SETS_LOG2);
  thread->more_pads = NULL;
  thread->frames = NULL;
  thread->entries = thread->first_entries = NULL;
  thread->signal_stack = (struct gp_stack) { .lo = 0 };
  if (block != NULL) {
    memcpy (block, &g_spare_blocks, sizeof g_spare_blocks);
    g_spare_blocks = block;
    g_spare_count++;
  }
  /* Two for each thread that ends, so that the spare blocks decrease with the threads. */
  for (int i = 0; i < 2 && g_spare_count > g_slots_live / 4 + SPARE_BLOCKS; i++)
    unmap_spare_block ();
}

static int32_t *
list_of_id (pid_t tid)
{
  return &g_ids[(uint32_t) tid % GP_THREADS];
}

void
gp_thread_index_tid (struct gp_thread *thread, pid_t tid)
{
  struct gp_thread_slot *slot = &g_segment->threads[gp_thread_slot (thread)];
  int32_t *link;
  if (thread->has_id) {
    for (link = list_of_id (slot->tid); &g_threads[*link] != thread; link = &g_threads[*link].next_of_id)
      continue;
    *link = thread->next_of_id;
  }
  slot->tid = tid;
  link = list_of_id (tid);
  thread->next_of_id = *link;
  *link = (int32_t) gp_thread_slot (thread);
  thread->has_id = true;
}

struct gp_thread *
gp_thread_find_tid (pid_t tid)
{
  for (int32_t at = *list_of_id (tid); at >= 0; at = g_threads[at].next_of_id)
    if (g_threads[at].tid == tid)
      return &g_threads[at];
  return NULL;
}

/* Ends are kept by thread id, not in the slot: that is reused as soon as the agent has read it, while the kernel may
 * still list the thread. */
const struct gp_ended *
gp_thread_find_ended (pid_t tid)
{
  const struct gp_ended *ended = &g_ended[(uint32_t) tid % GP_THREADS];
  return ended->tid == tid ? ended : NULL;
}

void
gp_thread_note_end (pid_t tid, uint64_t cpu_ns, uint64_t ns)
{
  g_ended[(uint32_t) tid % GP_THREADS] = (struct gp_ended) { tid, cpu_ns, ns };
}

/* A free slot, filled in but not ready. */
struct gp_thread *
gp_thread_take_slot (pid_t tid, clockid_t clock, uint32_t base)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  uint32_t index = gp_row_take (GP_THREAD_TABLE (g_segment), GP_THREAD_WORDS);
  struct gp_thread *thread = index != GP_NO_ROW ? &g_threads[index] : NULL;
  if (thread == NULL || !take_block (thread)) {
    if (thread != NULL)
      gp_row_free (GP_THREAD_TABLE (g_segment), index);
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
  gp_store (&thread->seen, g_pass);
  gp_thread_index_tid (thread, tid);
  slot->serial++;
  gp_add (&g_segment->threads_seen, 1);
  gp_store_release (&slot->state, GP_SLOT_LIVE);
  g_slots_live++;
  gp_store (&thread->tid, tid);
  return thread;
}

void
gp_thread_end_slot (struct gp_thread *thread, bool own)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  atomic_store_explicit (&thread->ready, false, memory_order_release);
  gp_sampler_disarm (thread);
  gp_account_end (thread, own);
  gp_thread_note_end (thread->tid, own ? thread->meter.cpu_ns : UINT64_MAX, gp_clock_ns (CLOCK_BOOTTIME));
  if (thread->entries != thread->first_entries)
    munmap (thread->entries, thread->capacity * sizeof thread->entries[0]);
  thread->depth = 0;
  gp_store (&thread->tid, 0);
  g_slots_live--;
  release_block (thread, own);
  gp_store_release (&g_segment->threads[gp_thread_slot (thread)].state, GP_SLOT_ENDED);
}

int
gp_thread_slots_init (void)
{
  void *threads = mmap (NULL, GP_THREADS * sizeof (struct gp_thread), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  void *slots = mmap (NULL, GP_PERF_FDS * sizeof (uint16_t), PROT_READ | PROT_WRITE,
      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (threads == MAP_FAILED || slots == MAP_FAILED)
    return ENOMEM;
  memset (g_ids, 0xff, sizeof g_ids); /* -1: none */
  g_threads = threads;
  g_perf_slots = slots;
  return 0;
}
