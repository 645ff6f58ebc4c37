/* SPDX-License-Identifier: MIT */
/* settings.c: tracer parameters and environment.
 *
 * Context: lifecycle, once, while the tracer is made.
 */
#define _GNU_SOURCE
#include "shim/base/settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "shim/base/gst_api.h"

bool g_settings_file;

static size_t g_params_used;

static bool
add_param (const char *key, const char *value)
{
  size_t key_bytes = strlen (key) + 1, value_bytes = strlen (value) + 1;
  if (g_params_used + key_bytes + value_bytes + 1 > GP_PARAMS)
    return false;
  memcpy (g_segment->params + g_params_used, key, key_bytes);
  memcpy (g_segment->params + g_params_used + key_bytes, value, value_bytes);
  g_params_used += key_bytes + value_bytes;
  return true;
}

bool
gp_settings_take (const char *params)
{
  if (params == NULL || *params == '\0')
    return true;
  char *text = NULL;
  if (asprintf (&text, "pyroscope,%s", params) < 0)
    return false;
  GstStructure *structure = GST (gst_structure_from_string) (text, NULL);
  free (text);
  bool taken = structure != NULL;
  for (int i = 0; taken && i < GST (gst_structure_n_fields) (structure); i++) {
    const gchar *key = GST (gst_structure_nth_field_name) (structure, (guint) i);
    const GValue *value = GST (gst_structure_get_value) (structure, key);
    if (G_VALUE_TYPE (value) == G_TYPE_STRING) {
      taken = add_param (key, GST (g_value_get_string) (value));
    } else {
      gchar *serialized = GST (gst_value_serialize) (value);
      taken = serialized != NULL && add_param (key, serialized);
      GST (g_free) (serialized);
    }
  }
  if (structure != NULL)
    GST (gst_structure_free) (structure);
  /* The message does not repeat the parameters: they may hold secrets. */
  if (!taken)
    gp_say (
        "cannot read the parameters in GST_TRACERS='pyroscope(...)', nothing is profiled. Write key=value,key=value "
        "and quote what is more than letters and digits: GST_TRACERS='pyroscope(server-url=\"http://localhost:4040\","
        "tags=\"env=dev,team=video\")'");
  return taken;
}

static const char *
param (const char *field)
{
  const char *end = g_segment->params + g_params_used;
  for (const char *key = g_segment->params; key < end;) {
    const char *value = key + strlen (key) + 1;
    size_t i = 0;
    while (key[i] != '\0' && (key[i] == '-' ? '_' : key[i]) == field[i])
      i++;
    if (key[i] == '\0' && field[i] == '\0')
      return value;
    key = value + strlen (value) + 1;
  }
  return NULL;
}

static bool
is_overridden (const char *field)
{
  const char *list = secure_getenv ("GST_PYROSCOPE_OVERRIDE");
  size_t bytes = strlen (field);
  while (list != NULL && *list != '\0') {
    size_t word = strcspn (list, ",");
    if (word == bytes && strncmp (list, field, bytes) == 0)
      return true;
    list += word + (list[word] == ',');
  }
  return false;
}

const char *
gp_settings_get (const char *field)
{
  char name[64] = "GST_PYROSCOPE_";
  size_t at = strlen (name);
  for (size_t i = 0; field[i] != '\0' && at < sizeof name - 1; i++)
    name[at++] = field[i] >= 'a' && field[i] <= 'z' ? (char) (field[i] - 'a' + 'A') : field[i];
  const char *environment = secure_getenv (name), *given = param (field);
  return given == NULL || (environment != NULL && is_overridden (field)) ? environment : given;
}

bool
gp_settings_is_set (const char *field)
{
  const char *text = gp_settings_get (field);
  return text != NULL && *text != '\0';
}

uint32_t
gp_settings_sample_rate (void)
{
  const char *text = gp_settings_get ("sample_rate");
  unsigned rate;
  char rest;
  if (text != NULL && sscanf (text, "%u%c", &rate, &rest) == 1 && rate >= GP_SAMPLE_RATE_MIN
      && rate <= GP_SAMPLE_RATE_MAX)
    return rate;
  return GP_SAMPLE_RATE_DEFAULT;
}

bool
gp_settings_stop_on_dispose (void)
{
  static const char *const no[] = { "false", "0", "no", "off", "f", "n" };
  const char *text = gp_settings_get ("stop_agent_on_dispose");
  for (size_t i = 0; text != NULL && i < sizeof no / sizeof no[0]; i++)
    if (strcasecmp (text, no[i]) == 0)
      return false;
  return true;
}
