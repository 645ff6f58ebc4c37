/* SPDX-License-Identifier: MIT */
/* names_formats.h: names of the functions that pack and unpack video and audio formats.
 *
 * Context: poller.
 */
#ifndef GP_NAMES_FORMATS_H
#define GP_NAMES_FORMATS_H

#include "shim/base/segment.h"

/* Names the functions that pack and unpack video and audio formats, once their libraries are loaded. Poller.
 * MT-Unsafe | AS-Unsafe lock */
GP_INTERNAL void gp_names_formats (void);

#endif
