/* SPDX-License-Identifier: MIT */
/* elements.h: from pads and elements to labels.
 *
 * Context: hook. A hit in the thread's pad cache takes no lock and no reference; a miss takes both.
 */
#ifndef GP_ELEMENTS_H
#define GP_ELEMENTS_H

#include "shim/base/gst_api.h"
#include "shim/base/thread_state.h"

enum
{
  GP_PAD_GENERATIONS_LOG2 = 14
};

/* Incremented where a pad is added, removed, linked or unlinked: what was cached of the pad before is void. Pads share
 * generations by their addresses. */
extern GP_INTERNAL uint32_t g_pad_generations[1 << GP_PAD_GENERATIONS_LOG2];

/* Once, before the first label of an element. MT-Unsafe | AS-Unsafe */
GP_INTERNAL void gp_elements_init (void);

/* The element's label; of a bin or pipeline, the label of its state change. The caller holds a reference to the
 * element, which keeps the label alive. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL uint32_t gp_elements_label (GstElement *element);

/* The same, where the element may have moved, or got another name, since the label was made. */
GP_INTERNAL uint32_t gp_elements_label_now (GstElement *element);

/* The element is in another bin now, and may have another name: updates its label, if it has one. */
GP_INTERNAL void gp_elements_moved (GstElement *element);

/* Which element of a pad is meant, and on what occasion. Occasions at which data goes from one element to another have
 * cache entries of their own, and the miss of such an entry records the link of the two. */
enum gp_pad_side
{
  GP_PAD_OWN,
  GP_PAD_PEER,
  GP_PAD_OWN_CHAINED, /* data arrives at it */
  GP_PAD_PEER_PUSHED, /* data leaves from it */
  GP_PAD_PEER_PULLED, /* data is asked for */
  /* As GP_PAD_PEER and GP_PAD_OWN, where the caller may hold the pad's object lock: then only a cache can be asked. */
  GP_PAD_PEER_LOCKED,
  GP_PAD_OWN_LOCKED
};

/* The label of what is not in the thread's first cache. sp: of the hook's caller; entries of labels below it are dead.
 * MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL uint32_t gp_elements_pad_missed (
    struct gp_thread *thread, GstPad *pad, enum gp_pad_side side, uintptr_t sp, uint32_t generation);

static inline uintptr_t
gp_elements_pad_key (const GstPad *pad, enum gp_pad_side side)
{
  return (uintptr_t) pad | (side == GP_PAD_PEER_LOCKED ? GP_PAD_PEER : side == GP_PAD_OWN_LOCKED ? GP_PAD_OWN : side);
}

/* The generation of a key's pad, whatever the key's side. A pad is larger than 64 bytes. */
static inline uint32_t *
gp_elements_pad_generation (uintptr_t key)
{
  return &g_pad_generations[key >> 6 & ((1 << GP_PAD_GENERATIONS_LOG2) - 1)];
}

static inline struct gp_pad_set *
gp_elements_pad_set (struct gp_pad_set *sets, uint32_t sets_log2, uintptr_t key)
{
  return &sets[key * 0x9e3779b97f4a7c15u >> (64 - sets_log2)];
}

static inline bool
gp_elements_pad_is_valid (const struct gp_pad_cache *cached)
{
  return cached->key != 0 && cached->generation == gp_load (gp_elements_pad_generation (cached->key));
}

/* NULL: not cached, or void. */
static inline const struct gp_pad_cache *
gp_elements_pad_cached (const struct gp_pad_set *set, uintptr_t key, uint32_t generation)
{
  for (int i = 0; i < GP_PAD_WAYS; i++)
    if (set->ways[i].key == key && set->ways[i].generation == generation)
      return &set->ways[i];
  return NULL;
}

/* The label of the pad's own element, or of its peer's; 0: none (ghost and proxy pads push again on a real one).
 * The pad must be alive, its peer need not be. */
static inline uint32_t
gp_elements_pad_label (struct gp_thread *thread, GstPad *pad, enum gp_pad_side side, uintptr_t sp)
{
  uintptr_t key = gp_elements_pad_key (pad, side);
  uint32_t generation = gp_load_acquire (gp_elements_pad_generation (key)); /* pairs with gp_elements_changed() */
  const struct gp_pad_cache *cached =
      gp_elements_pad_cached (gp_elements_pad_set (thread->pads, GP_PAD_SETS_LOG2, key), key, generation);
  return cached != NULL ? cached->label : gp_elements_pad_missed (thread, pad, side, sp, generation);
}

/* The same from the thread's caches alone; 0: not cached. Takes no lock. */
static inline uint32_t
gp_elements_pad_known (struct gp_thread *thread, const GstPad *pad, enum gp_pad_side side)
{
  uintptr_t key = gp_elements_pad_key (pad, side);
  uint32_t generation = gp_load_acquire (gp_elements_pad_generation (key)); /* as above */
  const struct gp_pad_cache *cached =
      gp_elements_pad_cached (gp_elements_pad_set (thread->pads, GP_PAD_SETS_LOG2, key), key, generation);
  if (cached == NULL && thread->more_pads != NULL)
    cached =
        gp_elements_pad_cached (gp_elements_pad_set (thread->more_pads, GP_MORE_PAD_SETS_LOG2, key), key, generation);
  return cached != NULL ? cached->label : 0;
}

/* The pad was added or removed, linked or unlinked. MT-Safe | AS-Safe */
static inline void
gp_elements_changed (const GstPad *pad)
{
  __atomic_fetch_add (gp_elements_pad_generation ((uintptr_t) pad), 1, __ATOMIC_RELEASE);
}

#endif
