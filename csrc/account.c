/* SPDX-License-Identifier: MIT */
/* account.c: CPU time per thread and label.
 *
 * Context: hook (gp_account_switch), lifecycle (open, end), poller (close, calibrate).
 */
#define _GNU_SOURCE
#include "account.h"

#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include "segment.h"
#include "thread.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

/* A shorter stretch goes by the counter, unless its label is known to sleep in such. */
#define SHORT_NS 50000
/* What may pass by the counter alone before the clock is read; bounds how far off an account can be. */
#define UNREAD_NS 1000000
/* No thread sleeps for less: two switches of context take longer. */
#define SLEPT_NS 1500
/* A label's stretches are checked ever more rarely while they do not sleep: after so many at most, ... */
#define TRUST_MAX 1023
/* ...or so many while the thread is known to sleep somewhere. */
#define TRUST_IF_SLEEPY 63
/* One that slept is measured at every entry until so many in a row did not. */
#define CALM_ENTRIES 64

#if defined(__x86_64__)
static bool g_counter_invariant;
#endif
static uint64_t g_start_cycles, g_start_ns;
static uint64_t g_ns_per_cycle; /* 32.32 fixed point; written by the poller, read by all */
static uint64_t g_short_cycles, g_unread_cycles;
static uint32_t g_free_hint; /* where to look for a free row next; races are harmless */

static inline uint64_t
read_cycles (void)
{
#if defined(__x86_64__)
  if (__builtin_expect (g_counter_invariant, 1))
    return __builtin_ia32_rdtsc ();
#elif defined(__aarch64__)
  uint64_t cycles;
  __asm__ volatile ("mrs %0, cntvct_el0" : "=r"(cycles));
  return cycles;
#endif
  return gp_clock_ns (CLOCK_MONOTONIC);
}

static inline uint64_t
cycles_to_ns (uint64_t cycles)
{
  return (uint64_t) (((unsigned __int128) cycles * gp_load (&g_ns_per_cycle)) >> 32);
}

static void
set_rate (uint64_t cycles, uint64_t ns)
{
  if (cycles == 0 || ns == 0)
    return;
  uint64_t rate = (uint64_t) (((unsigned __int128) ns << 32) / cycles);
  if (rate == 0)
    return;
  gp_store (&g_ns_per_cycle, rate);
  gp_store (&g_short_cycles, ((uint64_t) SHORT_NS << 32) / rate);
  gp_store (&g_unread_cycles, ((uint64_t) UNREAD_NS << 32) / rate);
}

/* Both clocks at one moment: of several tries the one in which the thread was interrupted least. */
static void
read_both (uint64_t *cycles, uint64_t *ns)
{
  uint64_t shortest = UINT64_MAX;
  for (int i = 0; i < 16; i++) {
    uint64_t before = read_cycles ();
    uint64_t now = gp_clock_ns (CLOCK_MONOTONIC);
    uint64_t took = read_cycles () - before;
    if (took < shortest) {
      shortest = took;
      *cycles = before + took / 2;
      *ns = now;
    }
  }
}

void
gp_account_calibrate (void)
{
  uint64_t cycles = 0, ns = 0;
  if (g_start_ns == 0) {
#if defined(__x86_64__)
    unsigned eax, ebx, ecx, edx;
    g_counter_invariant = __get_cpuid (0x80000007, &eax, &ebx, &ecx, &edx) && (edx & 1u << 8) != 0;
#endif
    read_both (&g_start_cycles, &g_start_ns);
    do
      read_both (&cycles, &ns);
    while (ns - g_start_ns < 1000000);
  } else {
    read_both (&cycles, &ns);
  }
  set_rate (cycles - g_start_cycles, ns - g_start_ns);
}

/* Takes a free row; its label is 0, which readers pass over, until the row is filled. */
static struct gp_account *
claim_account (struct gp_thread *thread, uint32_t label, uint32_t index)
{
  struct gp_account *account = &g_segment->accounts[index];
  uint32_t expected = GP_SLOT_FREE;
  if (gp_load (&account->state) != GP_SLOT_FREE /* cheaper, where the table is full */
      || !__atomic_compare_exchange_n (
          &account->state, &expected, GP_SLOT_LIVE, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
    return NULL;
  account->thread = gp_thread_slot (thread);
  account->serial = g_segment->threads[account->thread].serial;
  gp_store (&account->ns, 0);
  gp_store (&account->closed_ns, 0);
  gp_store_release (&account->label, label); /* publishes the row; pairs with the agent's acquire */
  return account;
}

/* A row, or NULL. Rows come back from the agent, those of one thread side by side: look near the last one found first,
 * everywhere only when the table is full. */
static struct gp_account *
take_account (struct gp_thread *thread, uint32_t label)
{
  struct gp_account *account = NULL;
  uint32_t used = gp_load (&g_segment->accounts_used);
  uint32_t start = gp_load (&g_free_hint);
  uint32_t tries = used < GP_ACCOUNTS ? (used < 64 ? used : 64) : GP_ACCOUNTS;
  for (uint32_t i = 0; i < tries && account == NULL; i++) {
    account = claim_account (thread, label, (start + i) % used);
    gp_store (&g_free_hint, (start + i + 1) % used);
  }
  while (account == NULL && used < GP_ACCOUNTS)
    if (__atomic_compare_exchange_n (
            &g_segment->accounts_used, &used, used + 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
      account = claim_account (thread, label, used++);
  if (account == NULL)
    gp_count (GP_COUNTER_ACCOUNTS_FULL);
  return account;
}

static struct gp_tally *
take_tally (struct gp_thread *thread)
{
  struct gp_slab *slab = thread->slabs;
  while (slab->used == GP_SLAB_TALLIES && slab->next != NULL)
    slab = slab->next;
  if (slab->used == GP_SLAB_TALLIES) {
    void *larger = mmap (NULL, sizeof *slab, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (larger == MAP_FAILED)
      return NULL;
    slab = slab->next = larger;
  }
  struct gp_tally *tally = &slab->tallies[slab->used++];
  memset (tally, 0, sizeof *tally);
  return tally;
}

/* The thread's tally of a label it has none of yet. */
static struct gp_tally *
make_tally (struct gp_thread *thread, uint32_t label)
{
  struct gp_tally **bucket = &thread->meter.buckets[label % GP_TALLY_BUCKETS];
  struct gp_tally *tally = take_tally (thread);
  if (tally == NULL)
    return thread->meter.current; /* out of memory: the time stays where it is */
  tally->label = label;
  tally->account = take_account (thread, label);
  tally->next = *bucket;
  __atomic_store_n (bucket, tally, __ATOMIC_RELEASE); /* pairs with the acquire in look_at() */
  return tally;
}

static inline struct gp_tally *
find_tally (struct gp_thread *thread, uint32_t label)
{
  struct gp_tally *tally = thread->meter.buckets[label % GP_TALLY_BUCKETS];
  for (; tally != NULL; tally = tally->next)
    if (tally->label == label)
      return tally;
  return make_tally (thread, label);
}

/* The one place where time is added. A row has one writer; the overflow of a label has many. */
static void
add_ns (struct gp_tally *tally, uint64_t ns)
{
  if (tally->account != NULL)
    gp_store_release (&tally->account->ns, tally->account->ns + ns); /* after its estimate; pairs with look_at() */
  else
    gp_add (&g_segment->labels[tally->label].overflow_ns, ns);
}

/* Adds what went by the counter: estimated_ns in all, but no more than the clock saw. Returns the sum added. slept: the
 * labels are checked sooner. */
static uint64_t
settle_estimates (struct gp_meter *meter, uint64_t estimated_ns, uint64_t true_ns, bool slept)
{
  uint64_t added_ns = 0;
  for (struct gp_tally *tally = meter->estimated; tally != NULL; tally = tally->next_estimated) {
    uint64_t ns = cycles_to_ns (tally->estimate_cycles);
    if (true_ns < estimated_ns)
      ns = (uint64_t) ((unsigned __int128) ns * true_ns / estimated_ns);
    /* In this order: whoever looks meanwhile sees the estimate in one place or in none. */
    gp_store (&tally->estimate_cycles, 0);
    add_ns (tally, ns);
    added_ns += ns;
    if (slept && tally->trust > TRUST_IF_SLEEPY)
      tally->trust = TRUST_IF_SLEEPY;
  }
  meter->estimated = NULL;
  return added_ns;
}

/* The stretch stood between two reads of the clock: does its label sleep in short ones? */
static void
judge (struct gp_tally *tally, bool slept)
{
  if (slept) {
    tally->calm_wanted = CALM_ENTRIES;
    tally->patience = 0;
  } else if (tally->calm_wanted > 0) {
    tally->calm_wanted--;
  } else {
    tally->patience = tally->patience < TRUST_MAX ? 2 * tally->patience + 1 : TRUST_MAX;
  }
  tally->trust = tally->patience;
}

/* Reads the thread's clock: what the counter did not see is the current label's; what it saw too much of (a thread
 * that slept or was preempted in short stretches) is taken back from the short ones, in proportion. cycles: of the
 * stretch that ends here. */
static void
close_exactly (struct gp_meter *meter, uint64_t cycles)
{
  uint64_t cpu_ns = gp_clock_ns (CLOCK_THREAD_CPUTIME_ID);
  uint64_t true_ns = cpu_ns > meter->cpu_ns ? cpu_ns - meter->cpu_ns : 0;
  uint64_t estimated_ns = cycles_to_ns (meter->unread_cycles - cycles);
  bool slept = cycles_to_ns (meter->unread_cycles) > true_ns + SLEPT_NS;
  gp_store (&meter->sequence, meter->sequence + 1);
  atomic_thread_fence (memory_order_release); /* pairs with the poller's acquire in gp_account_close() */
  if (meter->is_checked)
    judge (meter->current, slept);
  uint64_t added_ns = settle_estimates (meter, estimated_ns, true_ns, slept);
  if (true_ns > added_ns)
    add_ns (meter->current, true_ns - added_ns);
  gp_store (&meter->cpu_ns, cpu_ns);
  gp_store_release (&meter->sequence, meter->sequence + 1);
  meter->unread_cycles = 0;
}

static inline void
close_by_counter (struct gp_meter *meter, uint64_t cycles)
{
  struct gp_tally *tally = meter->current;
  if (tally->estimate_cycles == 0 && cycles != 0) {
    tally->next_estimated = meter->estimated;
    meter->estimated = tally;
  }
  gp_store (&tally->estimate_cycles, tally->estimate_cycles + cycles);
}

void
gp_account_switch (struct gp_thread *thread, uint32_t label)
{
  struct gp_meter *meter = &thread->meter;
  struct gp_tally *next = meter->current->label == label ? meter->current : find_tally (thread, label);
  bool checks_next = next->trust == 0;
  uint64_t now = read_cycles ();
  uint64_t cycles = now - meter->cycles;
  meter->cycles = now;
  meter->unread_cycles += cycles;
  if (meter->is_checked || checks_next || cycles >= gp_load (&g_short_cycles)
      || meter->unread_cycles >= gp_load (&g_unread_cycles))
    close_exactly (meter, cycles);
  else
    close_by_counter (meter, cycles);
  meter->is_checked = checks_next;
  if (!checks_next)
    next->trust--;
  __atomic_store_n (&meter->current, next, __ATOMIC_RELEASE);
}

void
gp_account_open (struct gp_thread *thread, uint64_t cpu_ns, uint32_t before, uint32_t label)
{
  struct gp_meter *meter = &thread->meter;
  meter->current = &meter->nowhere;
  meter->current = find_tally (thread, cpu_ns != 0 ? before : label);
  if (cpu_ns != 0) {
    add_ns (meter->current, cpu_ns);
    meter->cpu_ns = cpu_ns;
    meter->current = find_tally (thread, label);
  }
  meter->cycles = read_cycles ();
}

/* One look at a thread that runs on: publishes its accounts with what is estimated and, for the open one, with what the
 * clock has seen since. False: it read its clock meanwhile, or went on to another label, whose stretch may be a long
 * one; what the clock has seen is left out then. */
static bool
look_at (struct gp_thread *thread)
{
  struct gp_meter *meter = &thread->meter;
  uint32_t sequence = gp_load_acquire (&meter->sequence);
  const struct gp_tally *current = __atomic_load_n (&meter->current, __ATOMIC_ACQUIRE);
  uint64_t counted_ns = gp_load (&meter->cpu_ns), open_ns = 0;
  for (int i = 0; i < GP_TALLY_BUCKETS; i++)
    for (const struct gp_tally *tally = __atomic_load_n (&meter->buckets[i], __ATOMIC_ACQUIRE); tally != NULL;
        tally = tally->next) {
      uint64_t ns = tally->account != NULL ? gp_load_acquire (&tally->account->ns) : 0;
      uint64_t estimate_ns = cycles_to_ns (gp_load (&tally->estimate_cycles));
      counted_ns += estimate_ns;
      if (tally->account == NULL)
        continue;
      if (tally == current)
        open_ns = ns + estimate_ns;
      gp_store (&tally->account->closed_ns, ns + estimate_ns);
    }
  uint64_t cpu_ns = gp_clock_ns (thread->cpu_clock);
  atomic_thread_fence (memory_order_acquire);
  if ((sequence & 1) != 0 || gp_load (&meter->sequence) != sequence || gp_load (&meter->current) != current)
    return false;
  if (current->account != NULL && cpu_ns > counted_ns)
    gp_store (&current->account->closed_ns, open_ns + cpu_ns - counted_ns);
  return true;
}

void
gp_account_close (struct gp_thread *thread)
{
  /* One that goes from label to label faster than we can look has no open stretch worth the name. */
  for (int tries = 0; tries < 8 && !look_at (thread); tries++)
    continue;
}

void
gp_account_end (struct gp_thread *thread, bool own)
{
  struct gp_meter *meter = &thread->meter;
  if (own)
    close_exactly (meter, 0);
  for (int i = 0; i < GP_TALLY_BUCKETS; i++) {
    while (meter->buckets[i] != NULL) {
      struct gp_tally *tally = meter->buckets[i];
      meter->buckets[i] = tally->next;
      if (tally->account != NULL) {
        /* One that vanished leaves what the last close saw of its open stretch. */
        if (!own && tally->account->closed_ns > tally->account->ns)
          gp_store (&tally->account->ns, tally->account->closed_ns);
        gp_store_release (&tally->account->state, GP_SLOT_ENDED);
      }
    }
  }
  for (struct gp_slab *slab = thread->slabs; slab != NULL; slab = slab->next)
    slab->used = 0;
  meter->current = NULL;
}
