/* SPDX-License-Identifier: MIT */
/* redirected_calls.c: the table of all calls that are redirected.
 *
 * Context: lifecycle, once.
 */
#include "shim/calls/redirected_calls.h"

#include "shim/calls/dlopen.h"
#include "shim/calls/trampoline.h"
#include "shim/labels/construction.h"
#include "shim/labels/contexts.h"
#include "shim/labels/hooks.h"
#include "shim/labels/loading.h"
#include "shim/labels/pools.h"
#include "shim/labels/probes.h"
#include "shim/labels/renderers.h"
#include "shim/names/names_orc.h"
#include "shim/python/python_entry.h"
#include "shim/redirect/redirect.h"
#include "shim/threads/sigwait.h"

/* A module gets the first row of a name that is for it. So a row for some modules comes before the row for all. */
void
gp_redirected_calls_init (void)
{
  static const struct gp_redirect calls[] = {
    { "dlopen", (void *) gp_redirect_dlopen, &g_real_dlopen, NULL },
    { "dlclose", (void *) gp_redirect_dlclose, &g_real_dlclose, NULL },
    { "pthread_create", (void *) gp_trampoline_create_renderer, (void **) &g_real_pthread_create, g_renderers },
    { "pthread_cond_wait", (void *) gp_renderers_wait, (void **) &g_renderers_real.wait, g_renderers },
    { "pthread_cond_signal", (void *) gp_renderers_signal, (void **) &g_renderers_real.signal, g_renderers },
    { "pthread_cond_broadcast", (void *) gp_renderers_broadcast, (void **) &g_renderers_real.broadcast, g_renderers },
    { "pthread_mutex_lock", (void *) gp_renderers_lock, (void **) &g_renderers_real.lock, g_renderers },
    { "pthread_create", (void *) gp_trampoline_create, (void **) &g_real_pthread_create, NULL },
    { "g_main_context_invoke", (void *) gp_context_invoke, (void **) &g_real_context_invoke, g_context_callers },
    { "g_main_context_invoke_full", (void *) gp_context_invoke_full, (void **) &g_real_context_invoke_full,
        g_context_callers },
    { "g_module_open", (void *) gp_loading_open, (void **) &g_loading_real.open, g_libgstreamer },
    { "g_module_close", (void *) gp_loading_close, (void **) &g_loading_real.close, g_libgstreamer },
    { "sigaction", (void *) gp_loading_trap, (void **) &g_loading_real.trap, g_libgstreamer },
    { "g_object_new_with_properties", (void *) gp_loading_new, (void **) &g_loading_real.new, g_libgstreamer },
    { "poll", (void *) gp_construction_poll, (void **) &g_construction_real.poll, g_libglib },
    { "ppoll", (void *) gp_construction_ppoll, (void **) &g_construction_real.ppoll, g_libglib },
    { "g_hook_list_marshal", (void *) gp_probes_run, (void **) &g_real_run_probes, g_libgstreamer },
    { "g_thread_pool_new", (void *) gp_pool_new, (void **) &g_real_pool_new, NULL },
    { "g_thread_pool_new_full", (void *) gp_pool_new_full, (void **) &g_real_pool_new_full, NULL },
    { "g_thread_pool_push", (void *) gp_pool_push, (void **) &g_real_pool_push, NULL },
    { "g_thread_pool_free", (void *) gp_pool_free, (void **) &g_real_pool_free, NULL },
    { "sigwait", (void *) gp_sigwait, (void **) &g_real_sigwait, NULL },
    { "sigwaitinfo", (void *) gp_sigwaitinfo, (void **) &g_real_sigwaitinfo, NULL },
    { "sigtimedwait", (void *) gp_sigtimedwait, (void **) &g_real_sigtimedwait, NULL },
    { "gst_pad_send_event", (void *) gp_hooks_send_event, (void **) &g_hooks_real_send_event, NULL },
    { "PyGILState_Ensure", (void *) gp_python_ensure, (void **) &g_python_real.ensure, g_python_callers },
    { "PyEval_RestoreThread", (void *) gp_python_restore, (void **) &g_python_real.restore, g_python_callers },
    { "orc_program_take_code", (void *) gp_names_orc_take_code, (void **) &g_names_real_orc_take_code, NULL },
    { "orc_program_get_name", NULL, (void **) &g_names_orc_get_name, NULL },
  };
  _Static_assert (sizeof calls / sizeof calls[0] <= GP_REDIRECTS_MAX, "more rows than gp_redirect_init() takes");
  gp_redirect_init (calls, sizeof calls / sizeof calls[0]);
}
