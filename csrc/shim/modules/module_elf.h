/* SPDX-License-Identifier: MIT */
/* module_elf.h: a loaded object's path, build id and range of code.
 *
 * Context: lifecycle, under dl_iterate_phdr().
 */
#ifndef GP_MODULE_ELF_H
#define GP_MODULE_ELF_H

#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include "shim/base/segment.h"

enum
{
  GP_BUILD_ID_TEXT = 2 * 64 + 1 /* linkers write 8 to 20 bytes */
};

/* The build id in hex; "": the object has none. MT-Safe | AS-Safe */
GP_INTERNAL void gp_elf_build_id (const struct dl_phdr_info *info, char hex[GP_BUILD_ID_TEXT]);

/* The path of the object's file. The loader leaves the executable's name empty: its path is read from /proc. The vdso
 * is
 * "[vdso]". The result is in buffer or in the loader's memory. MT-Safe | AS-Safe */
GP_INTERNAL const char *gp_elf_path (const struct dl_phdr_info *info, char *buffer, size_t bytes);

/* The range of its executable segments; false: it has no code. MT-Safe | AS-Safe */
GP_INTERNAL bool gp_elf_code_range (const struct dl_phdr_info *info, uintptr_t *start, uintptr_t *end);

#endif
