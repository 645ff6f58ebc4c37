/* SPDX-License-Identifier: MIT */
/* elements.h: from pads and elements to labels.
 *
 * Context: hook. A hit in the thread's pad cache takes no lock and no reference; a miss takes both.
 */
#ifndef GP_ELEMENTS_H
#define GP_ELEMENTS_H

#include "gst.h"
#include "thread.h"

/* Raised by every change to the shape of a pipeline: what pads were cached before it is void. */
extern GP_INTERNAL _Atomic uint32_t g_shape;

/* The element's label; of a bin or pipeline: its state change. MT-Safe lock | AS-Unsafe lock heap */
GP_INTERNAL uint32_t gp_elements_label (GstElement *element);

/* Which element of a pad is meant, and on what occasion. Where data goes from one element to another, the cache knows
 * the pad anew, and its first time makes the two linked. */
enum gp_pad_side
{
  GP_PAD_OWN,
  GP_PAD_PEER,
  GP_PAD_OWN_CHAINED, /* data arrives at it */
  GP_PAD_PEER_PUSHED, /* data leaves from it */
  GP_PAD_PEER_PULLED, /* data is asked for */
  /* GP_PAD_PEER and GP_PAD_OWN, and the caller may hold the pad's object lock: then only a cache can tell. */
  GP_PAD_PEER_LOCKED,
  GP_PAD_OWN_LOCKED
};

/* What is not in the thread's first cache. sp: of the hook's caller; entries of labels below it are dead. MT-Safe lock
 * | AS-Unsafe lock heap */
GP_INTERNAL uint32_t gp_elements_pad_missed (
    struct gp_thread *thread, GstPad *pad, enum gp_pad_side side, uintptr_t sp, uint32_t shape);

static inline uintptr_t
gp_elements_pad_key (const GstPad *pad, enum gp_pad_side side)
{
  return (uintptr_t) pad | (side == GP_PAD_PEER_LOCKED ? GP_PAD_PEER : side == GP_PAD_OWN_LOCKED ? GP_PAD_OWN : side);
}

static inline struct gp_pad_set *
gp_elements_pad_set (struct gp_pad_set *sets, uint32_t sets_log2, uintptr_t key)
{
  return &sets[key * 0x9e3779b97f4a7c15u >> (64 - sets_log2)];
}

/* NULL: not there, or void. */
static inline const struct gp_pad_cache *
gp_elements_pad_cached (const struct gp_pad_set *set, uintptr_t key, uint32_t shape)
{
  for (int i = 0; i < GP_PAD_WAYS; i++)
    if (set->ways[i].key == key && set->ways[i].generation == shape)
      return &set->ways[i];
  return NULL;
}

/* The label of the pad's own element, or of its peer's; 0: none (ghost and proxy pads push again on a real one).
 * The pad must be the caller's; its peer need not live. */
static inline uint32_t
gp_elements_pad_label (struct gp_thread *thread, GstPad *pad, enum gp_pad_side side, uintptr_t sp)
{
  uintptr_t key = gp_elements_pad_key (pad, side);
  uint32_t shape = atomic_load_explicit (&g_shape, memory_order_acquire); /* pairs with gp_elements_reshaped() */
  const struct gp_pad_cache *cached =
      gp_elements_pad_cached (gp_elements_pad_set (thread->pads, GP_PAD_SETS_LOG2, key), key, shape);
  return cached != NULL ? cached->label : gp_elements_pad_missed (thread, pad, side, sp, shape);
}

/* The same where a cache of the thread's has it; else 0. Takes no lock. */
static inline uint32_t
gp_elements_pad_known (struct gp_thread *thread, const GstPad *pad, enum gp_pad_side side)
{
  uintptr_t key = gp_elements_pad_key (pad, side);
  uint32_t shape = atomic_load_explicit (&g_shape, memory_order_acquire); /* as above */
  const struct gp_pad_cache *cached =
      gp_elements_pad_cached (gp_elements_pad_set (thread->pads, GP_PAD_SETS_LOG2, key), key, shape);
  if (cached == NULL && thread->more_pads != NULL)
    cached = gp_elements_pad_cached (gp_elements_pad_set (thread->more_pads, GP_MORE_PAD_SETS_LOG2, key), key, shape);
  return cached != NULL ? cached->label : 0;
}

static inline void
gp_elements_reshaped (void)
{
  atomic_fetch_add_explicit (&g_shape, 1, memory_order_release);
}

#endif
