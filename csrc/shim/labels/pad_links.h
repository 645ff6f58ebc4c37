/* SPDX-License-Identifier: MIT */
/* pad_links.h: which elements are linked, for a picture of the pipeline.
 *
 * Context: the slow path of hooks.
 */
#ifndef GP_PAD_LINKS_H
#define GP_PAD_LINKS_H

#include "shim/base/segment.h"

/* Records for the agent, once as a rule, that data goes from one label's element to the other's. Does nothing where one
 * is no element, or both are the same. MT-Safe lock | AS-Unsafe lock */
GP_INTERNAL void gp_pad_links_add (uint32_t source, uint32_t sink);

#endif
