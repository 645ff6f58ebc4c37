/* SPDX-License-Identifier: MIT */
/* settings.h: the few settings that C reads before the agent is there, and the tracer's parameters for the agent.
 *
 * The pydantic model is the only description of settings: it refuses wrong ones, with a message. Until the agent has
 * done that, C uses what it can read, and defaults for the rest.
 *
 * Context: lifecycle.
 */
#ifndef GP_SETTINGS_H
#define GP_SETTINGS_H

#include "shim/base/segment.h"

/* Writes the tracer's parameters, "key=value,key=value", into the segment. False: they could not be read; a message was
 * printed. MT-Unsafe | AS-Unsafe heap */
GP_INTERNAL bool gp_settings_take (const char *params);

/* The text of a setting, by its name in the model; NULL: not set. The environment counts first where the command line
 * has set it, then the tracer's parameter, then the environment. MT-Unsafe | AS-Unsafe */
GP_INTERNAL const char *gp_settings_get (const char *field);

/* Whether the setting has a text that is not empty. MT-Unsafe | AS-Unsafe */
GP_INTERNAL bool gp_settings_is_set (const char *field);

/* The profile goes to a file; read once, at the start. */
extern GP_INTERNAL bool g_settings_file;

GP_INTERNAL uint32_t gp_settings_sample_rate (void);
GP_INTERNAL bool gp_settings_stop_on_dispose (void);

#endif
