/* SPDX-License-Identifier: MIT */
/* churn_host.c: a server whose pipelines and threads come and go, and which says what they cost it.
 *
 * churn_host --sessions 10000 --elements 62    pipelines, one after the other
 * churn_host --threads 100000 --alive 2000     threads
 * churn_host --minutes 60 --sessions 200 …     the same and changes of a live pipeline, by rounds of a tenth of the
 *                                              figures, for so long
 * A run has ten tenths, and prints a JSON line behind each (churn.h: churn_meter_print), and others: "start" at once,
 * "idle before" and "idle after" behind --idle seconds in which nothing is done, "end" with the totals. --last is
 * played before the end. Idle, it does nothing for as long before it measures: what starts with it has come up by then.
 *
 * Context: target of bench_churn.py, tests/integration/test_churn.py and tests/soak; knows nothing of the profiler.
 */
#include "churn.h"

static gint g_sessions, g_elements = 62, g_buffers = 10, g_namesakes, g_mark, g_threads, g_batch = 20, g_alive,
                        g_outside;
static gdouble g_minutes, g_idle_s;
static gchar *g_last;

static const GOptionEntry ENTRIES[] = {
  { "sessions", 0, 0, G_OPTION_ARG_INT, &g_sessions, "pipelines in all", "N" },
  { "elements", 0, 0, G_OPTION_ARG_INT, &g_elements, "of each", "N" },
  { "buffers", 0, 0, G_OPTION_ARG_INT, &g_buffers, "through each", "N" },
  { "namesakes", 0, 0, G_OPTION_ARG_INT, &g_namesakes, "pipelines called camera, at once, a tenth", "N" },
  { "mark", 0, 0, G_OPTION_ARG_INT, &g_mark, "prints a line behind that many sessions, too", "N" },
  { "threads", 0, 0, G_OPTION_ARG_INT, &g_threads, "born and gone in all, half of them inside an element", "N" },
  { "batch", 0, 0, G_OPTION_ARG_INT, &g_batch, "of them at once", "N" },
  { "alive", 0, 0, G_OPTION_ARG_INT, &g_alive, "threads that stay from the start to the end", "N" },
  { "outside", 0, 0, G_OPTION_ARG_INT, &g_outside, "threads that come by another way, all at once, and stay", "N" },
  { "minutes", 0, 0, G_OPTION_ARG_DOUBLE, &g_minutes, "runs for so long, with changes of a live pipeline", "M" },
  { "idle", 0, 0, G_OPTION_ARG_DOUBLE, &g_idle_s, "before and behind", "SECONDS" },
  { "last", 0, 0, G_OPTION_ARG_STRING, &g_last, "is played at the end", "PIPELINE" },
  { NULL, 0, 0, 0, NULL, NULL, NULL },
};

static struct live *g_live;
static gint g_sessions_done;

static void
idle (const char *phase)
{
  for (int i = 0; g_idle_s > 0 && i < 2; i++) {
    struct meter since = churn_meter_now ();
    g_usleep ((gulong) (g_idle_s * 1e6));
    churn_meter_print (i == 0 ? "settle" : phase, "", &since);
  }
}

/* Part `number` of ten. Returns the slowest birth of a thread, in seconds. */
static double
one_tenth (gint number, const struct meter *start)
{
  for (gint i = g_sessions * number / 10; i < g_sessions * (number + 1) / 10; i++) {
    churn_session ((guint) g_elements, (guint) g_buffers);
    if (++g_sessions_done == g_mark)
      churn_meter_print ("mark", "", start);
  }
  if (g_namesakes > 0)
    churn_namesakes ((guint) g_namesakes, (guint) g_buffers);
  return g_threads > 0 ? churn_threads ((guint) g_threads / 10, (guint) g_batch) : 0;
}

static gint
compare (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return (x > y) - (x < y);
}

/* Rounds of the same work for a tenth of the time: one is a tenth of the figures. Prints how many rounds there were,
 * and their median: CPU of the process by CPU of work that never changes. */
static void
tenth_of_the_time (gint number, const struct meter *start)
{
  struct meter since = churn_meter_now ();
  GArray *costs = g_array_new (FALSE, FALSE, sizeof (double));
  do {
    struct meter before = churn_meter_now ();
    one_tenth ((gint) costs->len % 10, start);
    for (int i = 0; i < 5; i++)
      churn_live_branch (g_live);
    churn_live_dlopen ();
    double cost = churn_meter_now ().process_s - before.process_s;
    cost /= churn_reference_s ();
    g_array_append_val (costs, cost);
  } while (churn_meter_now ().wall_s < start->wall_s + g_minutes * 6 * (number + 1));
  g_array_sort (costs, compare);
  char *extra = g_strdup_printf ("\"number\": %d, \"rounds\": %u, \"round_cost\": %.3f, ", number + 1, costs->len,
      g_array_index (costs, double, costs->len / 2));
  churn_meter_print ("tenth", extra, &since);
  g_free (extra);
  g_array_unref (costs);
}

static void
tenth_of_the_work (gint number, const struct meter *start)
{
  struct meter since = churn_meter_now ();
  double worst_s = one_tenth (number, start);
  char *extra = g_strdup_printf ("\"number\": %d, \"sessions\": %d, \"worst_birth_s\": %.6f, \"reference_s\": %.6f, ",
      number + 1, g_sessions * (number + 1) / 10 - g_sessions * number / 10, worst_s, churn_reference_s ());
  churn_meter_print ("tenth", extra, &since);
  g_free (extra);
}

int
main (int argc, char **argv)
{
  gst_init (NULL, NULL);
  GOptionContext *context = g_option_context_new (NULL);
  g_option_context_add_main_entries (context, ENTRIES, NULL);
  GError *error = NULL;
  if (!g_option_context_parse (context, &argc, &argv, &error))
    g_error ("%s", error->message);
  g_option_context_free (context);

  churn_meter_print ("start", "", &(struct meter) { 0 });
  churn_session ((guint) g_elements, (guint) g_buffers); /* loads the plugin */
  if (g_alive > 0)
    churn_threads_keep ((guint) g_alive, FALSE);
  if (g_minutes > 0)
    g_live = churn_live_start ();
  idle ("idle before");
  struct meter start = churn_meter_now ();
  if (g_outside > 0)
    churn_threads_keep ((guint) g_outside, TRUE);
  for (gint number = 0; number < 10; number++)
    (g_minutes > 0 ? tenth_of_the_time : tenth_of_the_work) (number, &start);
  idle ("idle after");
  if (g_last != NULL)
    churn_play (g_last);
  g_clear_pointer (&g_live, churn_live_stop);
  churn_threads_release ();
  churn_meter_print ("end", "", &(struct meter) { 0 });
  return 0;
}
