/* SPDX-License-Identifier: MIT */
/* construction.c: the labels of threads that an element makes in its constructor. webrtcbin's agent makes its threads
 * there, on the application's thread, when the element has neither a name nor a pipeline.
 *
 * Until its first change of state, when its label is made anyway, an element is identified by its address. The address
 * is compared, never followed. The thread takes the label by itself, the next time that it returns from poll() in
 * GLib's main loop: no other thread may touch its accounts.
 *
 * Context: lifecycle, on the host's threads. g_lock is a leaf: nothing is called under it.
 */
#include "shim/labels/construction.h"

#include "shim/labels/label.h"

enum
{
  CONSTRUCTIONS = 64, /* kept at most: those with threads; the oldest is dropped first */
  NO_THREAD_YET = 1   /* a value of gp_thread's in_construction: no thread was made yet; serials are larger */
};

struct construction
{
  uint32_t serial;
  uint32_t label;      /* it has a reference from here; 0: the element has none yet */
  const void *element; /* NULL: its label is known */
};

struct gp_construction_real g_construction_real;
const char *const g_libglib[] = { "libglib-2.0.", NULL };
_Atomic uint32_t g_constructions_unnamed;

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static struct construction g_constructions[CONSTRUCTIONS]; /* by serial; under g_lock */
static _Atomic uint32_t g_serial = NO_THREAD_YET;

uint32_t
gp_construction_begin (struct gp_thread *thread)
{
  uint32_t outer = thread->in_construction;
  thread->in_construction = NO_THREAD_YET;
  return outer;
}

uint32_t
gp_construction_of_birth (struct gp_thread *thread)
{
  if (thread->in_construction == NO_THREAD_YET)
    thread->in_construction = 1 + atomic_fetch_add (&g_serial, 1);
  return thread->in_construction;
}

/* Requires g_lock. */
static void
forget_element (struct construction *one)
{
  if (one->element != NULL)
    atomic_fetch_sub_explicit (&g_constructions_unnamed, 1, memory_order_relaxed);
  one->element = NULL;
}

void
gp_construction_end (struct gp_thread *thread, uint32_t outer, const void *object)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  uint32_t serial = thread->in_construction;
  thread->in_construction = outer;
  bool has_threads = serial != NO_THREAD_YET && object != NULL;
  if (!atomic_load (&g_active)) /* in the child of a fork, where nobody may hold the lock any more */
    return;
  if (!has_threads && atomic_load_explicit (&g_constructions_unnamed, memory_order_relaxed) == 0)
    return;
  pthread_mutex_lock (&g_lock);
  /* An earlier object at this address is no more. */
  for (size_t i = 0; i < CONSTRUCTIONS; i++)
    if (g_constructions[i].element == object)
      forget_element (&g_constructions[i]);
  if (has_threads) {
    struct construction *one = &g_constructions[serial % CONSTRUCTIONS];
    forget_element (one);
    gp_label_unref (one->label);
    *one = (struct construction) { .serial = serial, .element = object };
    atomic_fetch_add_explicit (&g_constructions_unnamed, 1, memory_order_relaxed);
  }
  pthread_mutex_unlock (&g_lock);
}

void
gp_construction_names (GstElement *element, uint32_t label)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  pthread_mutex_lock (&g_lock);
  for (size_t i = 0; i < CONSTRUCTIONS; i++)
    if (g_constructions[i].element == element) {
      forget_element (&g_constructions[i]);
      g_constructions[i].label = gp_label_ref (label) ? label : 0;
    }
  pthread_mutex_unlock (&g_lock);
}

static void
adopt (struct gp_thread *thread)
{
  GP_ASSERT_NOT_IN_SIGNAL ();
  pthread_mutex_lock (&g_lock);
  struct construction one = g_constructions[thread->born_in % CONSTRUCTIONS];
  int32_t later = (int32_t) (one.serial - thread->born_in);
  bool is_named = later == 0 && one.label != 0 && gp_label_ref (one.label);
  pthread_mutex_unlock (&g_lock);
  if (later > 0 || is_named)
    thread->born_in = 0;
  if (is_named) {
    gp_label_set_base (thread, one.label);
    gp_label_unref (one.label); /* the thread's account has one now */
  }
}

static inline void
adopt_if_born (void)
{
  struct gp_thread *thread = gp_thread_known ();
  if (thread != NULL && __builtin_expect (thread->born_in != 0, 0) && atomic_load (&g_active))
    adopt (thread);
}

int
gp_construction_poll (struct pollfd *fds, nfds_t n, int timeout)
{
  int result = g_construction_real.poll (fds, n, timeout);
  adopt_if_born ();
  return result;
}

int
gp_construction_ppoll (struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
  int result = g_construction_real.ppoll (fds, n, timeout, mask);
  adopt_if_born ();
  return result;
}
