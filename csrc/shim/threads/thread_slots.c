/* SPDX-License-Identifier: MIT */
/* thread_slots.c: the slots of the registry: taking one, its room, finding it by thread id, ending it.
 *
 * All of it requires the registry lock, and costs the same however many threads there are or were.
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

/* Lent to threads that have no alternate stack; a host's own SA_ONSTACK handlers, crash reporters say, run on it too.
 */
#define SIGNAL_STACK_BYTES 32768
#define SIGNAL_FRAME_BYTES 8192 /* where the kernel does not tell: AVX-512 needs less than half */

uint32_t g_pass;
static int32_t g_ids[GP_THREADS];           /* first slot of each list by thread id, -1: none */
static struct gp_ended g_ended[GP_THREADS]; /* by thread id */
static uint32_t g_slots_live;               /* threads alive */
static char *g_spare_rooms;                 /* a list; NULL: none */
static uint32_t g_rooms_spare;

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
  ROOMS_SPARE = 32 /* kept besides one for four threads */
};

_Static_assert (FRAMES_BYTES % 64 == 0, "the cache of pads is behind them");
_Static_assert (sizeof (struct gp_slab) % 8 == 0, "a table of pointers is behind it");

static size_t
room_bytes (void)
{
  return FRAMES_BYTES + signal_stack_bytes () + PADS_BYTES + sizeof (struct gp_slab) + TABLE_BYTES + ENTRIES_BYTES;
}

/* What a thread needs besides its slot: the handler's scratch, alternate stack, cache of pads, first tallies and
 * entries. The stack would run over into the scratch's far end, which hardly any sample reaches: no guard page, which
 * costs a mapping a thread. */
static bool
make_room (struct gp_thread *thread)
{
  char *room = g_spare_rooms;
  if (room != NULL) {
    memcpy (&g_spare_rooms, room, sizeof g_spare_rooms); /* a spare one begins with the address of the next */
    g_rooms_spare--;
  } else {
    room = mmap (NULL, room_bytes (), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  }
  if (room == MAP_FAILED)
    return false;
  char *at = room + FRAMES_BYTES;
  thread->frames = (uint64_t *) room;
  thread->signal_stack = (struct gp_stack) { .lo = (uintptr_t) at, .hi = (uintptr_t) at + signal_stack_bytes () };
  thread->pads = (struct gp_pad_set *) (at += signal_stack_bytes ());
  thread->first_slab = (struct gp_slab *) (at += PADS_BYTES);
  thread->first_table = (struct gp_tally **) (at += sizeof (struct gp_slab));
  thread->first_entries = (struct gp_boundary *) (at + TABLE_BYTES);
  return true;
}

static void
unmap_spare_room (void)
{
  char *room = g_spare_rooms;
  memcpy (&g_spare_rooms, room, sizeof g_spare_rooms);
  g_rooms_spare--;
  munmap (room, room_bytes ());
}

/* Whether the thread ends on the stack that we lent it: a handler of the host's ran there and calls pthread_exit(). */
static bool
stands_in_room (const struct gp_thread *thread)
{
  uintptr_t here = (uintptr_t) __builtin_frame_address (0);
  return here >= thread->signal_stack.lo && here < thread->signal_stack.hi;
}

/* For the next thread: at once, while the slot waits for the agent. own: by the thread itself. */
static void
give_room_back (struct gp_thread *thread, bool own)
{
  char *room = own && stands_in_room (thread) ? NULL : (char *) thread->frames; /* else it stays for ever */
  if (thread->more_pads != NULL)
    munmap (thread->more_pads, sizeof (struct gp_pad_set) << GP_MORE_PAD_SETS_LOG2);
  thread->more_pads = NULL;
  thread->frames = NULL;
  thread->entries = thread->first_entries = NULL;
  thread->signal_stack = (struct gp_stack) { .lo = 0 };
  if (room != NULL) {
    memcpy (room, &g_spare_rooms, sizeof g_spare_rooms);
    g_spare_rooms = room;
    g_rooms_spare++;
  }
  /* Two for each thread that ends, so that spare ones become fewer as threads do. */
  for (int i = 0; i < 2 && g_rooms_spare > g_slots_live / 4 + ROOMS_SPARE; i++)
    unmap_spare_room ();
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

/* Where the end of a thread with this id is remembered: not in its slot, which is another's as soon as the agent has
 * read it, while the kernel may still list the thread. */
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
  uint32_t index = gp_row_take (GP_THREAD_TABLE (g_segment), GP_THREAD_WORDS);
  struct gp_thread *thread = index != GP_NO_ROW ? &g_threads[index] : NULL;
  if (thread == NULL || !make_room (thread)) {
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
  atomic_store_explicit (&thread->ready, false, memory_order_release);
  gp_sampler_disarm (thread);
  gp_account_end (thread, own);
  gp_thread_note_end (thread->tid, own ? thread->meter.cpu_ns : UINT64_MAX, gp_clock_ns (CLOCK_BOOTTIME));
  if (thread->entries != thread->first_entries)
    munmap (thread->entries, thread->capacity * sizeof thread->entries[0]);
  thread->depth = 0;
  gp_store (&thread->tid, 0);
  g_slots_live--;
  give_room_back (thread, own);
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
