/* SPDX-License-Identifier: MIT */
/* label.c: interning of names, and entering and leaving a label on a thread.
 *
 * Context: hook (push, pop, base: no lock, no allocation but the doubling of a deep stack); lifecycle and the slow path
 * of hooks (interning).
 */
#define _GNU_SOURCE
#include "label.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include "account.h"

#define TABLE_SIZE (2 * GP_LABELS) /* open addressing: at most half full */

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t *g_table; /* ids by hash; under g_lock */
static uint32_t g_fixed[GP_LABEL_LOADING + 1];

void
gp_label_init (void)
{
  static const struct
  {
    enum gp_label_kind kind;
    const char *name;
  } fixed[] = {
    { GP_LABEL_OVERFLOW, "[too many labels]" },
    { GP_LABEL_MAIN, "[main thread]" },
    { GP_LABEL_POOL, "[GLib pool]" },
    { GP_LABEL_TASK, "[GStreamer task]" },
    { GP_LABEL_THREAD, "[other threads]" },
    { GP_LABEL_AGENT, "[gst-pyro agent]" },
    { GP_LABEL_BEFORE, "[before the tracer]" },
    { GP_LABEL_UNSEEN, "[unseen threads]" },
    { GP_LABEL_LOADING, "[loading plugins]" },
  };
  void *table = mmap (
      NULL, TABLE_SIZE * sizeof (uint32_t), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  g_table = table == MAP_FAILED ? NULL : table;
  for (size_t i = 0; i < sizeof fixed / sizeof fixed[0]; i++)
    g_fixed[fixed[i].kind] = gp_label_intern (fixed[i].kind, fixed[i].name, "", "", "");
}

uint32_t
gp_label_fixed (enum gp_label_kind kind)
{
  return g_fixed[kind];
}

static uint32_t
hash_text (uint32_t hash, const char *text)
{
  for (; *text != '\0'; text++)
    hash = (hash ^ (unsigned char) *text) * 16777619u;
  return hash * 31;
}

static bool
label_is (
    const struct gp_label *label, enum gp_label_kind kind, const char *name, const char *path, const char *factory)
{
  const char *strings = g_segment->strings;
  return label->kind == (uint32_t) kind && strcmp (strings + label->name, name) == 0
         && strcmp (strings + label->path, path) == 0 && strcmp (strings + label->factory, factory) == 0;
}

static bool
add_text (const char *text, uint32_t *offset)
{
  *offset = gp_strings_add (text);
  return *offset != 0 || *text == '\0';
}

uint32_t
gp_label_intern (enum gp_label_kind kind, const char *name, const char *path, const char *factory, const char *pipeline)
{
  if (g_table == NULL)
    return 0;
  uint32_t hash = hash_text (hash_text (hash_text (2166136261u + kind, name), path), factory);
  pthread_mutex_lock (&g_lock);
  uint32_t *slot = &g_table[hash % TABLE_SIZE];
  while (*slot != 0 && !label_is (&g_segment->labels[*slot], kind, name, path, factory))
    slot = slot + 1 == g_table + TABLE_SIZE ? g_table : slot + 1;
  uint32_t id = *slot;
  if (id == 0 && g_segment->label_count < GP_LABELS) {
    struct gp_label label = { .kind = kind };
    /* One that lost a part of its name to a full heap would never be found again, and be made anew each time. */
    if (add_text (name, &label.name) && add_text (path, &label.path) && add_text (factory, &label.factory)
        && add_text (pipeline, &label.pipeline)) {
      id = g_segment->label_count;
      g_segment->labels[id] = label;
      *slot = id;
      gp_store_release (&g_segment->label_count, id + 1); /* publishes the label; pairs with the agent's acquire */
    }
  }
  pthread_mutex_unlock (&g_lock);
  if (id == 0) {
    gp_count (GP_COUNTER_LABELS_FULL);
    id = g_fixed[GP_LABEL_OVERFLOW];
  }
  return id;
}

/* Doubles the stack. The handler of this same thread sees the old array or the new one, each whole. */
static bool
grow (struct gp_thread *thread)
{
  size_t bytes = thread->capacity * sizeof thread->entries[0];
  void *larger = mmap (NULL, 2 * bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (larger == MAP_FAILED)
    return false;
  memcpy (larger, thread->entries, bytes);
  void *old = thread->entries;
  atomic_signal_fence (memory_order_seq_cst);
  thread->entries = larger;
  atomic_signal_fence (memory_order_seq_cst);
  if (old != thread->first_entries)
    munmap (old, bytes);
  thread->capacity *= 2;
  return true;
}

static uint32_t
top_label (const struct gp_thread *thread)
{
  return thread->depth ? thread->entries[thread->depth - 1].label : thread->base;
}

void
gp_label_push (struct gp_thread *thread, struct gp_boundary boundary)
{
  uint32_t depth = thread->depth;
  /* The frame at or below the new one's caller has returned without its post hook. */
  for (; depth > 0 && thread->entries[depth - 1].sp <= boundary.sp; depth--)
    gp_count (GP_COUNTER_LABELS_DEAD);
  thread->depth = depth;
  if (depth == thread->capacity && !grow (thread)) {
    gp_count (GP_COUNTER_LABELS_FULL);
    return;
  }
  gp_account_switch (thread, boundary.label);
  thread->entries[depth] = boundary;
  atomic_signal_fence (memory_order_release); /* the handler of this thread sees the entry before the depth */
  thread->depth = depth + 1;
}

void
gp_label_pop (struct gp_thread *thread, uintptr_t sp)
{
  uint32_t depth = thread->depth;
  if (depth == 0 || thread->entries[depth - 1].sp > sp)
    return;
  for (; depth > 0 && thread->entries[depth - 1].sp < sp; depth--)
    gp_count (GP_COUNTER_LABELS_DEAD);
  if (depth > 0 && thread->entries[depth - 1].sp == sp)
    depth--;
  thread->depth = depth;
  gp_account_switch (thread, top_label (thread));
}

void
gp_label_set_base (struct gp_thread *thread, uint32_t label)
{
  thread->base = label;
  gp_account_switch (thread, top_label (thread));
}
