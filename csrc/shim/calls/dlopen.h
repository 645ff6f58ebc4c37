/* SPDX-License-Identifier: MIT */
/* dlopen.h: replacements of dlopen() and dlclose().
 *
 * Context: lifecycle, on the host's threads.
 */
#ifndef GP_DLOPEN_H
#define GP_DLOPEN_H

#include "shim/base/segment.h"

/* As dlopen(3) and dlclose(3). MT-Safe | AS-Unsafe lock heap */
GP_INTERNAL void *gp_redirect_dlopen (const char *name, int mode);
GP_INTERNAL int gp_redirect_dlclose (void *handle);

/* The real functions; set by the pass over the modules. */
extern GP_INTERNAL void *g_real_dlopen;
extern GP_INTERNAL void *g_real_dlclose;

#endif
