/* SPDX-License-Identifier: MIT */
/* pools.c: labels for what runs in GLib's thread pools.
 *
 * An item belongs to the element that pushed it; where none did, to the element that made the pool. Items are the
 * host's and are passed on unchanged, since the host sorts, moves and frees them. So the label of a push is kept apart
 * from the item, and only where it is not that of the pool.
 *
 * Context: lifecycle, on the host's threads. g_lock is a leaf: nothing is called under it.
 */
#include "shim/labels/pools.h"

#include <pthread.h>
#include <stdlib.h>
#include "shim/base/gst_api.h"
#include "shim/labels/label.h"
#include "shim/modules/modules.h"

/* Pushes that are remembered. An item that waits while so many others are pushed counts for the maker of the pool. */
enum
{
  PUSHES = 4096,
  BUCKETS = 1024
};

gp_pool_new_function g_real_pool_new;
gp_pool_new_full_function g_real_pool_new_full;
gp_pool_push_function g_real_pool_push;
gp_pool_free_function g_real_pool_free;

/* Takes the place of a pool's user data. */
struct pool_call
{
  GFunc function;
  gpointer data;
  _Atomic uint32_t label;      /* of the element that made the pool; it has a reference from here */
  bool task;                   /* the pool is libgstreamer's: runs GstTasks, or elements' parallel work */
  _Atomic uint32_t remembered; /* pushes of this pool in g_pushes */
};

struct push
{
  struct pool_call *call; /* NULL: free */
  gpointer item;
  uint32_t label;    /* it has a reference from here */
  struct push *next; /* in its bucket, oldest first */
};

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
/* under g_lock */
static struct push g_pushes[PUSHES];
static struct push *g_buckets[BUCKETS];
static uint32_t g_next_push; /* the oldest of all, which is replaced next */

static struct push **
find_bucket (const struct pool_call *call, const void *item)
{
  uintptr_t key = (uintptr_t) call ^ ((uintptr_t) item >> 4) * 0x9e3779b1u;
  return &g_buckets[(key >> 4 ^ key >> 16) % BUCKETS];
}

/* Returns the label, with its reference. */
static uint32_t
forget (struct push **link)
{
  struct push *push = *link;
  *link = push->next;
  atomic_fetch_sub_explicit (&push->call->remembered, 1, memory_order_relaxed);
  push->call = NULL;
  return push->label;
}

static void
drop (struct push *push)
{
  struct push **link = find_bucket (push->call, push->item);
  while (*link != push)
    link = &(*link)->next;
  gp_label_unref (forget (link));
}

/* The caller's reference to the label goes to the push. */
static void
remember (struct pool_call *call, gpointer item, uint32_t label)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  pthread_mutex_lock (&g_lock);
  struct push *push = &g_pushes[g_next_push++ % PUSHES];
  struct push **link;
  if (push->call != NULL)
    drop (push);
  for (link = find_bucket (call, item); *link != NULL; link = &(*link)->next)
    continue;
  *push = (struct push) { call, item, label, NULL };
  *link = push;
  atomic_fetch_add_explicit (&call->remembered, 1, memory_order_relaxed);
  pthread_mutex_unlock (&g_lock);
}

/* The label that was in force when the item was pushed, or that of the pool; with a reference. Where one item was
 * pushed more than once, the pool's queue keeps the order of the pushes. */
static uint32_t
recall (struct pool_call *call, gpointer item)
{
  uint32_t label = 0;
  if (atomic_load_explicit (&call->remembered, memory_order_relaxed) != 0) {
    pthread_mutex_lock (&g_lock);
    for (struct push **link = find_bucket (call, item); *link != NULL; link = &(*link)->next)
      if ((*link)->call == call && (*link)->item == item) {
        label = forget (link);
        break;
      }
    pthread_mutex_unlock (&g_lock);
  }
  if (label != 0)
    return label;
  label = atomic_load_explicit (&call->label, memory_order_relaxed);
  if (gp_label_ref (label))
    return label;
  label = gp_label_fixed (GP_LABEL_POOL); /* the pool is being freed */
  return gp_label_ref (label) ? label : 0;
}

static void
run_pool_call (gpointer item, gpointer user_data)
{
  struct pool_call *call = user_data;
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_current () : NULL;
  if (thread == NULL) {
    call->function (item, call->data);
    return;
  }
  struct gp_boundary boundary = GP_CALLER (recall (call, item));
  /* The base too: the thread goes to sleep and wakes up on behalf of the last item's element. Threads are shared, and
   * belong to nobody for long. */
  gp_label_set_base (thread, boundary.label);
  gp_label_unref (boundary.label); /* the thread's account holds one now */
  if (call->task) {
    /* No entry: the task will set its own element as the base. */
    thread->task = true;
    call->function (item, call->data);
    thread->task = false;
  } else {
    gp_label_push (thread, boundary);
    call->function (item, call->data);
    if (atomic_load (&g_active)) /* not in the child of a fork, which would write to its parent's accounts */
      gp_label_pop (thread, boundary.sp);
  }
}

/* Whether the pool is libgstreamer's: its function is in that library. */
static bool
is_task_pool (GFunc function)
{
  const struct gp_module *gstreamer = gp_modules_listed ((uintptr_t) GST (gst_tracing_register_hook));
  return gstreamer != NULL && gp_modules_listed ((uintptr_t) function) == gstreamer;
}

static struct pool_call *
make_pool_call (GFunc function, gpointer data)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_current () : NULL;
  struct pool_call *call = thread != NULL ? calloc (1, sizeof *call) : NULL;
  if (call == NULL)
    return NULL;
  call->function = function;
  call->data = data;
  call->task = is_task_pool (function);
  uint32_t label = gp_label_to_hand_over (thread);
  if (label == 0 || !gp_label_ref (label)) {
    label = gp_label_fixed (call->task ? GP_LABEL_TASK : GP_LABEL_POOL);
    gp_label_ref (label);
  }
  call->label = label;
  return call;
}

GThreadPool *
gp_pool_new (GFunc function, gpointer data, gint max_threads, gboolean exclusive, GError **error)
{
  struct pool_call *call = make_pool_call (function, data);
  return call == NULL ? g_real_pool_new (function, data, max_threads, exclusive, error)
                      : g_real_pool_new (run_pool_call, call, max_threads, exclusive, error);
}

/* item_free is passed on unchanged: it gets items, not user data. */
GThreadPool *
gp_pool_new_full (
    GFunc function, gpointer data, GDestroyNotify item_free, gint max_threads, gboolean exclusive, GError **error)
{
  struct pool_call *call = make_pool_call (function, data);
  return call == NULL ? g_real_pool_new_full (function, data, item_free, max_threads, exclusive, error)
                      : g_real_pool_new_full (run_pool_call, call, item_free, max_threads, exclusive, error);
}

gboolean
gp_pool_push (GThreadPool *pool, gpointer item, GError **error)
{
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_current () : NULL;
  if (thread != NULL && pool != NULL && pool->func == run_pool_call) {
    struct pool_call *call = pool->user_data;
    /* A task's element is known by its stream-status message or by its first push. Until then, or where it does
     * neither, the task counts for the element that started it. libgstreamer's pools are shared by all elements,
     * whichever needed one first. */
    uint32_t label = gp_label_to_hand_over (thread);
    if (label == 0 && call->task)
      label = gp_label_fixed (GP_LABEL_TASK);
    if (label != 0 && label != call->label && gp_label_ref (label))
      remember (call, item, label);
  }
  return g_real_pool_push (pool, item, error);
}

static void
forget_pool (struct pool_call *call)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  if (atomic_load_explicit (&call->remembered, memory_order_relaxed) == 0)
    return;
  pthread_mutex_lock (&g_lock);
  for (size_t i = 0; i < PUSHES; i++)
    if (g_pushes[i].call == call)
      drop (&g_pushes[i]);
  pthread_mutex_unlock (&g_lock);
}

/* Where the caller waits for all items to end, the block is freed after that. Else items may still run, or be about to,
 * and nothing tells when the last one is done: the block stays, some 40 bytes, without its label. */
void
gp_pool_free (GThreadPool *pool, gboolean immediate, gboolean wait)
{
  struct pool_call *call = pool != NULL && pool->func == run_pool_call ? pool->user_data : NULL;
  g_real_pool_free (pool, immediate, wait);
  if (call == NULL || !atomic_load (&g_active))
    return;
  gp_label_unref (atomic_exchange (&call->label, gp_label_fixed (GP_LABEL_POOL)));
  if (wait || immediate)
    forget_pool (call);
  if (wait)
    free (call);
}
