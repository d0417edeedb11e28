/* Pages of RAM that belong to nobody: behind the image, outside DTB and initrd. */
#ifndef GUEST_MEMORY_H
#define GUEST_MEMORY_H

#include <stdint.h>

/* Claims (in a realm) and maps the whole RAM of the device tree. */
void memory_init(void);

/*
 * `count` consecutive pages, aligned to their size when `count` is a power of two; content undefined. Panics when RAM
 * is used up.
 */
uint64_t memory_pages(uint64_t count);

/* Bytes between what was handed out last and the end of RAM; DTB and initrd not deducted. */
uint64_t memory_left(void);

#endif
