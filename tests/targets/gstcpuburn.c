/* SPDX-License-Identifier: MIT */
/* gstcpuburn.c: an element that burns a set CPU time for each buffer, and writes down what it truly burned.
 *
 * gst-launch-1.0 fakesrc num-buffers=100 ! cpuburn cpu-us=1000 where=threads threads=3 truth=FILE ! fakesink
 * appends "NAME\tNANOSECONDS\n" to FILE when the element stops. The truth is read from the clocks of the threads that
 * did the work, from entering the element to leaving it; of threads of its own, from their birth to their end; of a
 * pool's, from the end of their last work (or their birth) to the end of this.
 *
 * Context: target of tests/accuracy and of the benchmarks; knows nothing of the profiler.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <gst/base/gstbasetransform.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum where
{
  STREAMING,
  THREADS,
  POOL,
  SHARED_POOL,
  SHORT_THREADS
};

typedef struct
{
  GstBaseTransform parent;
  guint cpu_us, start_us, sleep_us, threads;
  gint where;
  gchar *truth;
  guint64 burned_ns; /* atomic */
  pthread_t *workers;
  GThreadPool *pool;
  /* under lock: workers wait for rounds, the streaming thread for pending to reach 0 */
  pthread_mutex_t lock;
  pthread_cond_t more, done;
  guint round, pending;
  gboolean stopping;
} Burn;

typedef struct
{
  GstBaseTransformClass parent_class;
} BurnClass;

enum
{
  PROP_CPU_US = 1,
  PROP_START_US,
  PROP_SLEEP_US,
  PROP_THREADS,
  PROP_WHERE,
  PROP_TRUTH
};

static GstStaticPadTemplate sink_template =
    GST_STATIC_PAD_TEMPLATE ("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
static GstStaticPadTemplate src_template =
    GST_STATIC_PAD_TEMPLATE ("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);

/* One for all elements of the process, made by the first that wants it. */
static GThreadPool *g_shared_pool;

static GType burn_get_type (void);
G_DEFINE_TYPE (Burn, burn, GST_TYPE_BASE_TRANSFORM)

static guint64
thread_ns (void)
{
  struct timespec now;
  clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
  return (guint64) now.tv_sec * 1000000000u + (guint64) now.tv_nsec;
}

/* Mostly user time: the clock is a system call. */
static void
burn_ns (guint64 ns)
{
  guint64 end = thread_ns () + ns;
  unsigned turns = ns > 100000 ? 20000 : 1000;
  while (thread_ns () < end)
    for (volatile unsigned i = 0; i < turns; i++)
      continue;
}

static void
record (Burn *burn, guint64 ns)
{
  __atomic_fetch_add (&burn->burned_ns, ns, __ATOMIC_RELAXED);
}

static void
finish_one (Burn *burn)
{
  pthread_mutex_lock (&burn->lock);
  if (--burn->pending == 0)
    pthread_cond_signal (&burn->done);
  pthread_mutex_unlock (&burn->lock);
}

static void *
work_in_rounds (void *data)
{
  Burn *burn = data;
  guint round = 0;
  for (;;) {
    pthread_mutex_lock (&burn->lock);
    while (burn->round == round && !burn->stopping)
      pthread_cond_wait (&burn->more, &burn->lock);
    round = burn->round;
    gboolean stopping = burn->stopping;
    pthread_mutex_unlock (&burn->lock);
    if (stopping)
      break;
    burn_ns (burn->cpu_us * 1000ull / burn->threads);
    finish_one (burn);
  }
  record (burn, thread_ns ());
  return NULL;
}

static void *
work_once (void *data)
{
  Burn *burn = data;
  burn_ns (burn->cpu_us * 1000ull / burn->threads);
  record (burn, thread_ns ());
  return NULL;
}

static void
work_in_pool (gpointer data, gpointer unused)
{
  (void) unused;
  static __thread guint64 recorded;
  Burn *burn = data;
  burn_ns (burn->cpu_us * 1000ull / burn->threads);
  guint64 now = thread_ns ();
  record (burn, now - recorded);
  recorded = now;
  finish_one (burn);
}

static void
burn_in_others (Burn *burn)
{
  pthread_mutex_lock (&burn->lock);
  burn->pending = burn->threads;
  burn->round++;
  pthread_cond_broadcast (&burn->more);
  pthread_mutex_unlock (&burn->lock);
  if (burn->pool != NULL)
    for (guint i = 0; i < burn->threads; i++)
      g_thread_pool_push (burn->pool, burn, NULL);
  pthread_mutex_lock (&burn->lock);
  while (burn->pending > 0)
    pthread_cond_wait (&burn->done, &burn->lock);
  pthread_mutex_unlock (&burn->lock);
}

static void
burn_in_short_threads (Burn *burn)
{
  pthread_t ids[burn->threads];
  for (guint i = 0; i < burn->threads; i++)
    if (pthread_create (&ids[i], NULL, work_once, burn) != 0)
      g_error ("no thread");
  for (guint i = 0; i < burn->threads; i++)
    pthread_join (ids[i], NULL);
}

static GstFlowReturn
burn_transform_ip (GstBaseTransform *base, GstBuffer *buffer)
{
  (void) buffer;
  Burn *burn = (Burn *) base;
  guint64 before = thread_ns ();
  if (burn->where == STREAMING)
    burn_ns (burn->cpu_us * 1000ull);
  else if (burn->where == SHORT_THREADS)
    burn_in_short_threads (burn);
  else
    burn_in_others (burn);
  if (burn->sleep_us != 0)
    usleep (burn->sleep_us);
  record (burn, thread_ns () - before);
  return GST_FLOW_OK;
}

static gboolean
burn_start (GstBaseTransform *base)
{
  Burn *burn = (Burn *) base;
  guint64 before = thread_ns ();
  burn_ns (burn->start_us * 1000ull);
  if (burn->where == THREADS) {
    burn->workers = g_new (pthread_t, burn->threads);
    for (guint i = 0; i < burn->threads; i++)
      if (pthread_create (&burn->workers[i], NULL, work_in_rounds, burn) != 0)
        g_error ("no thread");
  } else if (burn->where == POOL) {
    burn->pool = g_thread_pool_new (work_in_pool, NULL, (gint) burn->threads, FALSE, NULL);
  } else if (burn->where == SHARED_POOL) {
    static gsize once;
    if (g_once_init_enter (&once)) {
      g_shared_pool = g_thread_pool_new (work_in_pool, NULL, 4, FALSE, NULL);
      g_once_init_leave (&once, 1);
    }
    burn->pool = g_shared_pool;
  }
  record (burn, thread_ns () - before);
  return TRUE;
}

static void
write_truth (Burn *burn)
{
  int fd = open (burn->truth, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || dprintf (fd, "%s\t%" G_GUINT64_FORMAT "\n", GST_OBJECT_NAME (burn), burn->burned_ns) < 0)
    g_error ("cannot write %s", burn->truth);
  close (fd);
}

static gboolean
burn_stop (GstBaseTransform *base)
{
  Burn *burn = (Burn *) base;
  guint64 before = thread_ns ();
  if (burn->workers != NULL) {
    pthread_mutex_lock (&burn->lock);
    burn->stopping = TRUE;
    pthread_cond_broadcast (&burn->more);
    pthread_mutex_unlock (&burn->lock);
    for (guint i = 0; i < burn->threads; i++)
      pthread_join (burn->workers[i], NULL);
    g_clear_pointer (&burn->workers, g_free);
    burn->stopping = FALSE;
  }
  if (burn->where == POOL)
    g_thread_pool_free (burn->pool, FALSE, TRUE);
  burn->pool = NULL;
  record (burn, thread_ns () - before);
  if (burn->truth != NULL)
    write_truth (burn);
  return TRUE;
}

static void
burn_set_property (GObject *object, guint id, const GValue *value, GParamSpec *spec)
{
  Burn *burn = (Burn *) object;
  static const char *const names[] = { "streaming", "threads", "pool", "shared-pool", "short-threads", NULL };
  switch (id) {
    case PROP_CPU_US:
      burn->cpu_us = g_value_get_uint (value);
      break;
    case PROP_START_US:
      burn->start_us = g_value_get_uint (value);
      break;
    case PROP_SLEEP_US:
      burn->sleep_us = g_value_get_uint (value);
      break;
    case PROP_THREADS:
      burn->threads = g_value_get_uint (value);
      break;
    case PROP_WHERE:
      for (burn->where = 0; g_strcmp0 (g_value_get_string (value), names[burn->where]) != 0; burn->where++)
        if (names[burn->where] == NULL)
          g_error (
              "where=%s: not one of streaming, threads, pool, shared-pool, short-threads", g_value_get_string (value));
      break;
    case PROP_TRUTH:
      g_free (burn->truth);
      burn->truth = g_value_dup_string (value);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID (object, id, spec);
  }
}

static void
burn_finalize (GObject *object)
{
  g_free (((Burn *) object)->truth);
  G_OBJECT_CLASS (burn_parent_class)->finalize (object);
}

static void
burn_class_init (BurnClass *class)
{
  GObjectClass *object_class = G_OBJECT_CLASS (class);
  GstElementClass *element_class = GST_ELEMENT_CLASS (class);
  GstBaseTransformClass *base_class = GST_BASE_TRANSFORM_CLASS (class);
  object_class->set_property = burn_set_property;
  object_class->finalize = burn_finalize;
  static const struct
  {
    guint id, initial;
    const char *name;
  } numbers[] = {
    { PROP_CPU_US, 0, "cpu-us" },
    { PROP_START_US, 0, "start-us" },
    { PROP_SLEEP_US, 0, "sleep-us" },
    { PROP_THREADS, 1, "threads" },
  };
  for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
    g_object_class_install_property (object_class, numbers[i].id,
        g_param_spec_uint (
            numbers[i].name, NULL, NULL, numbers[i].initial, G_MAXINT, numbers[i].initial, G_PARAM_WRITABLE));
  g_object_class_install_property (
      object_class, PROP_WHERE, g_param_spec_string ("where", NULL, NULL, "streaming", G_PARAM_WRITABLE));
  g_object_class_install_property (
      object_class, PROP_TRUTH, g_param_spec_string ("truth", NULL, NULL, NULL, G_PARAM_WRITABLE));
  gst_element_class_add_static_pad_template (element_class, &sink_template);
  gst_element_class_add_static_pad_template (element_class, &src_template);
  gst_element_class_set_static_metadata (element_class, "Burn", "Filter", "Burns CPU", "gst-pyro-shim");
  base_class->start = burn_start;
  base_class->stop = burn_stop;
  base_class->transform_ip = burn_transform_ip;
  base_class->passthrough_on_same_caps = TRUE;
}

static void
burn_init (Burn *burn)
{
  burn->threads = 1;
  pthread_mutex_init (&burn->lock, NULL);
  pthread_cond_init (&burn->more, NULL);
  pthread_cond_init (&burn->done, NULL);
  gst_base_transform_set_passthrough (GST_BASE_TRANSFORM (burn), TRUE);
}

static gboolean
plugin_init (GstPlugin *plugin)
{
  return gst_element_register (plugin, "cpuburn", GST_RANK_NONE, burn_get_type ());
}

GST_PLUGIN_DEFINE (GST_VERSION_MAJOR, GST_VERSION_MINOR, cpuburn, "burns CPU", plugin_init, "1.0", "MIT",
    "gst-pyro-shim", "https://example.invalid/")
