/* SPDX-License-Identifier: MIT */
/* module_elf.c: reads a loaded object's path, build id and range of code.
 *
 * Context: lifecycle.
 */
#define _GNU_SOURCE
#include "shim/modules/module_elf.h"

#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

void
gp_elf_build_id (const struct dl_phdr_info *info, char hex[GP_BUILD_ID_TEXT])
{
  static const char digits[] = "0123456789abcdef";
  hex[0] = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const Elf64_Phdr *segment = &info->dlpi_phdr[i];
    if (segment->p_type != PT_NOTE)
      continue;
    const char *at = (const char *) (info->dlpi_addr + segment->p_vaddr), *end = at + segment->p_memsz;
    uintptr_t align = segment->p_align == 8 ? 8 : 4;
    while ((size_t) (end - at) >= sizeof (Elf64_Nhdr)) {
      const Elf64_Nhdr *note = (const Elf64_Nhdr *) at;
      size_t name = (note->n_namesz + align - 1) & ~(align - 1), data = (note->n_descsz + align - 1) & ~(align - 1);
      size_t left = (size_t) (end - at) - sizeof *note;
      if (name > left || data > left - name)
        break;
      const char *text = at + sizeof *note;
      if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4 && memcmp (text, "GNU", 4) == 0
          && note->n_descsz <= (GP_BUILD_ID_TEXT - 1) / 2) {
        for (uint32_t k = 0; k < note->n_descsz; k++) {
          uint8_t byte = (uint8_t) text[name + k];
          hex[2 * k] = digits[byte >> 4];
          hex[2 * k + 1] = digits[byte & 15];
        }
        hex[2 * note->n_descsz] = 0;
        return;
      }
      at = text + name + data;
    }
  }
}

const char *
gp_elf_path (const struct dl_phdr_info *info, char *buffer, size_t bytes)
{
  if (info->dlpi_addr != 0 && info->dlpi_addr == getauxval (AT_SYSINFO_EHDR))
    return "[vdso]";
  if (info->dlpi_name != NULL && info->dlpi_name[0] != 0)
    return info->dlpi_name;
  ssize_t length = readlink ("/proc/self/exe", buffer, bytes - 1);
  buffer[length > 0 ? length : 0] = 0;
  return buffer;
}

bool
gp_elf_code_range (const struct dl_phdr_info *info, uintptr_t *start, uintptr_t *end)
{
  *start = UINTPTR_MAX;
  *end = 0;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const Elf64_Phdr *segment = &info->dlpi_phdr[i];
    if (segment->p_type != PT_LOAD || (segment->p_flags & PF_X) == 0 || segment->p_memsz == 0)
      continue;
    uintptr_t lo = info->dlpi_addr + segment->p_vaddr, hi = lo + segment->p_memsz;
    *start = lo < *start ? lo : *start;
    *end = hi > *end ? hi : *end;
  }
  return *start < *end;
}
