/* SPDX-License-Identifier: MIT */
/* renderers.c: the labels under which the threads of Mesa's software renderers work.
 *
 * llvmpipe's rasterizers (and Mesa's other workers) are made once, and work for all elements that share the context.
 * The thread that wants a scene rasterized queues it and signals a condition, under the label of the element that
 * draws. A worker takes one scene for each signal: it locks the queue's mutex and, where nothing is queued, waits for
 * the condition. So the labels of signals that no worker has answered yet are queued too, for each condition that was
 * the first one a worker waited for. The label of the latest signal alone would be wrong: scenes of several elements
 * may be queued at once.
 *
 * A worker that has to wait has found the queue of scenes empty, so labels that are still queued are void. A miscount
 * is thus over after one burst of work.
 *
 * Context: lifecycle, on the host's threads. g_lock is a leaf: nothing is called under it.
 */
#include "shim/labels/renderers.h"

#include "shim/labels/label.h"

enum
{
  QUEUES = 256, /* a power of two; a worker needs one, and Mesa makes at most a few dozen workers */
  WAYS = 8,
  QUEUED = 64 /* labels in a queue; llvmpipe has at most so many scenes */
};

struct work_queue
{
  const pthread_cond_t *condition; /* NULL: free */
  uint32_t first, count;           /* of the ring of labels */
  uint32_t last;                   /* the latest label taken out; 0: none */
  uint32_t labels[QUEUED];         /* each has a reference from here, and so has `last` */
};

struct gp_renderers_real g_renderers_real;
/* Mesa's Gallium drivers are one library under many names (swrast_dri.so, libgallium-24.2.so); then lavapipe. */
const char *const g_renderers[] = { "libgallium", "swrast_dri.so", "kms_swrast_dri.so", "libvulkan_lvp.so", NULL };

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static struct work_queue g_queues[QUEUES]; /* under g_lock */
static uint32_t g_next_way; /* of the queue that is replaced next, where all ways are taken; under g_lock */

static void
drop_labels (struct work_queue *queue)
{
  for (; queue->count > 0; queue->count--, queue->first = (queue->first + 1) % QUEUED)
    gp_label_unref (queue->labels[queue->first]);
}

/* NULL: there is none, and none is to be made. Requires g_lock. */
static struct work_queue *
find_queue (const pthread_cond_t *condition, bool make)
{
  uint32_t start = (uint32_t) ((uintptr_t) condition * 0x9e3779b97f4a7c15u >> 32), at;
  for (uint32_t way = 0; way < WAYS; way++) {
    at = (start + way) % QUEUES;
    if (g_queues[at].condition == condition)
      return &g_queues[at];
    if (make && g_queues[at].condition == NULL) {
      g_queues[at].condition = condition;
      return &g_queues[at];
    }
  }
  if (!make)
    return NULL;
  at = (start + g_next_way++ % WAYS) % QUEUES;
  drop_labels (&g_queues[at]);
  gp_label_unref (g_queues[at].last);
  g_queues[at] = (struct work_queue) { .condition = condition };
  return &g_queues[at];
}

static void
note_signal (const pthread_cond_t *condition)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_known () : NULL;
  if (thread == NULL)
    return;
  uint32_t label = gp_label_to_hand_over (thread);
  if (label == 0)
    label = gp_label_fixed (GP_LABEL_THREAD);
  pthread_mutex_lock (&g_lock);
  struct work_queue *queue = find_queue (condition, false);
  if (queue != NULL && queue->count < QUEUED && gp_label_ref (label))
    queue->labels[(queue->first + queue->count++) % QUEUED] = label;
  pthread_mutex_unlock (&g_lock);
}

/* The worker has taken the work of the oldest signal: takes that signal's label, with a reference. 0: none is queued.
 * repeat: then the last label again, since one broadcast may have woken several workers. */
static uint32_t
take_signal (const pthread_cond_t *condition, bool repeat)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  uint32_t label = 0;
  pthread_mutex_lock (&g_lock);
  struct work_queue *queue = find_queue (condition, false);
  if (queue != NULL && queue->count > 0) {
    gp_label_unref (queue->last);
    queue->last = queue->labels[queue->first];
    queue->first = (queue->first + 1) % QUEUED;
    queue->count--;
    label = queue->last;
  } else if (queue != NULL && repeat) {
    label = queue->last;
  }
  if (label != 0)
    gp_label_ref (label);
  pthread_mutex_unlock (&g_lock);
  return label;
}

static void
serve (struct gp_thread *thread, bool repeat)
{
  uint32_t label = take_signal (thread->work_condition, repeat);
  if (label != 0 && label != thread->base)
    gp_label_set_base (thread, label);
  gp_label_unref (label);
}

int
gp_renderers_wait (pthread_cond_t *condition, pthread_mutex_t *mutex)
{
  struct gp_thread *thread = atomic_load (&g_active) ? gp_thread_known () : NULL;
  if (thread == NULL || !thread->renders || (thread->work_mutex != NULL && thread->work_condition != condition))
    return g_renderers_real.wait (condition, mutex);
  thread->work_condition = condition;
  thread->work_mutex = mutex;
  pthread_mutex_lock (&g_lock);
  drop_labels (find_queue (condition, true));
  pthread_mutex_unlock (&g_lock);
  int result = g_renderers_real.wait (condition, mutex);
  if (atomic_load (&g_active))
    serve (thread, true);
  return result;
}

int
gp_renderers_signal (pthread_cond_t *condition)
{
  note_signal (condition);
  return g_renderers_real.signal (condition);
}

int
gp_renderers_broadcast (pthread_cond_t *condition)
{
  note_signal (condition);
  return g_renderers_real.broadcast (condition);
}

int
gp_renderers_lock (pthread_mutex_t *mutex)
{
  int result = g_renderers_real.lock (mutex);
  struct gp_thread *thread = gp_thread_known ();
  if (thread != NULL && __builtin_expect (thread->work_mutex == mutex, 0) && atomic_load (&g_active))
    serve (thread, false);
  return result;
}
