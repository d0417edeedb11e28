/* Reader of flattened device trees (Devicetree Specification v0.4, chapter 5). */
#ifndef GUEST_DTB_H
#define GUEST_DTB_H

#include <stdbool.h>
#include <stdint.h>

#define DTB_PATH_MAX 192

/*
 * A node as the visitor sees it. `path` is absolute ("/" for the root); the cell counts are the parent's, as "reg"
 * needs.
 */
struct dtb_node {
  const char *path;
  uint32_t address_cells;
  uint32_t size_cells;
  uint32_t properties; /* offset of the first property token */
  const uint8_t *dtb;
};

/* A property's value: big-endian bytes. `data` is null when the node has no such property. */
struct dtb_property {
  const uint8_t *data;
  uint32_t size;
};

/* Total size in bytes, 0 when there is no device tree. Reads two words, 4-byte aligned: callable with the MMU off. */
uint32_t dtb_size(const void *dtb);

/*
 * Calls `visit` for each node in file order. False when the structure is damaged; nodes before the damage were
 * visited.
 */
bool dtb_walk(const void *dtb, void (*visit)(const struct dtb_node *, void *), void *context);

struct dtb_property dtb_property(const struct dtb_node *node, const char *name);
/* The property is a string, or a list of strings that contains `text`. */
bool dtb_has_string(const struct dtb_node *node, const char *name, const char *text);
uint32_t dtb_u32(struct dtb_property property, uint32_t index);
/* A number of one or two cells. */
uint64_t dtb_number(struct dtb_property property);
/* Entry `index` of "reg". False when there is none. */
bool dtb_reg(const struct dtb_node *node, uint32_t index, uint64_t *address, uint64_t *size);

#endif
