/* SPDX-License-Identifier: MIT */
/* churn.h: the parts of churn_host.c, a server whose pipelines and threads come and go.
 *
 * None of them knows of a profiler. What cannot be done ends the program by g_error().
 *
 * Context: target of bench_churn.py, tests/integration/test_churn.py and tests/soak.
 */
#ifndef CHURN_H
#define CHURN_H

#include <gst/gst.h>

/* churn_meter.c */

/* One stretch of the run. CPU in seconds. */
struct meter
{
  double process_s; /* of the whole process */
  double ours_s;    /* of this, threads of the profiler that live here: their names begin with gst-pyro */
  double wall_s;
};

struct meter churn_meter_now (void);

/* Prints a JSON line: {"phase": phase, extra, and what went by since `since`: "process_s", "ours_s", "wall_s"; what
 * there is: "rss_kb", "anon_kb", "shmem_kb", "descriptors", "threads"}. `extra` is JSON members with a comma behind
 * each. */
void churn_meter_print (const char *phase, const char *extra, const struct meter *since);

/* CPU of this thread in seconds. */
double churn_thread_s (void);

/* Work of a fixed size, as sessions do it: allocations and look-ups. Returns the CPU that it took: the measure for how
 * fast the machine is just now. */
double churn_reference_s (void);

/* churn_sessions.c */

/* Makes a pipeline of `elements` elements with GStreamer's own names, plays it until its end, throws it away. */
void churn_session (guint elements, guint buffers);

/* Pipelines at once, all with the same names, as people give them: /camera/a/b/work. The bins are nested before they
 * are put into their pipelines. */
void churn_namesakes (guint pipelines, guint buffers);

/* Plays what gst_parse_launch() takes, until its end. */
void churn_play (const char *description);

/* churn_threads.c */

/* Makes `number` threads, `batch` at a time, and waits for each batch's end: the first half inside an element, the rest
 * outside every one. Returns the longest time that making and joining one of them alone took, in seconds. */
double churn_threads (guint number, guint batch);

/* Threads that stay until churn_threads_release(); returns when all of them run. `unseen`: made by the C library's own
 * pthread_create, which no redirected call of this program leads to; each of them works for 2 ms first. */
void churn_threads_keep (guint number, gboolean unseen);
void churn_threads_release (void);

/* churn_live.c */

/* A live pipeline with a tee. */
struct live;
struct live *churn_live_start (void);
void churn_live_stop (struct live *live);

/* Adds a bin to it behind a pad requested from the tee, waits for data there, takes both away again. */
void churn_live_branch (struct live *live);

/* Loads a plugin's file that GStreamer has not loaded, and unloads it. */
void churn_live_dlopen (void);

#endif
