/* See dtb.h. Every offset is checked against the header's totalsize: the VMM is not trusted. */
#include "dtb.h"

#include "string.h"

enum { FDT_MAGIC = 0xd00dfeed, BEGIN_NODE = 1, END_NODE = 2, PROP = 3, NOP = 4, END = 9 };
enum { DEPTH_MAX = 16 };

static uint32_t be32(const uint8_t *p) {
  return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

uint32_t dtb_size(const void *dtb) {
  if (dtb == 0 || ((uintptr_t)dtb & 7) != 0 || be32(dtb) != FDT_MAGIC) return 0;
  return be32((const uint8_t *)dtb + 4);
}

/* A string inside the blob, or null when it has no end there. */
static const char *string_at(const uint8_t *dtb, uint32_t offset) {
  uint32_t size = dtb_size(dtb);
  for (uint32_t end = offset; end < size; end++)
    if (dtb[end] == 0) return (const char *)dtb + offset;
  return 0;
}

/* One token: its kind, where its payload is and where the next token begins. */
struct token {
  uint32_t kind, next;
  const char *name; /* node or property */
  struct dtb_property value;
};

static bool read_token(const uint8_t *dtb, uint32_t offset, struct token *token) {
  uint32_t size = dtb_size(dtb);
  if (offset > size - 4 || (offset & 3) != 0) return false;
  token->kind = be32(dtb + offset);
  token->next = offset + 4;
  switch (token->kind) {
    case BEGIN_NODE: {
      token->name = string_at(dtb, offset + 4);
      if (token->name == 0) return false;
      token->next = (offset + 4 + (uint32_t)strlen(token->name) + 1 + 3) & ~3u;
      return true;
    }
    case PROP: {
      if (size - offset < 12) return false;
      uint32_t length = be32(dtb + offset + 4);
      if (length > size - offset - 12) return false;
      token->name = string_at(dtb, be32(dtb + 12) + be32(dtb + offset + 8)); /* off_dt_strings + nameoff */
      token->value.data = dtb + offset + 12;
      token->value.size = length;
      token->next = (offset + 12 + length + 3) & ~3u;
      return token->name != 0;
    }
    case END_NODE:
    case NOP:
    case END:
      return true;
    default:
      return false;
  }
}

struct dtb_property dtb_property(const struct dtb_node *node, const char *name) {
  struct token token;
  for (uint32_t offset = node->properties; read_token(node->dtb, offset, &token); offset = token.next) {
    if (token.kind == PROP && strcmp(token.name, name) == 0) return token.value;
    if (token.kind != PROP && token.kind != NOP) break;
  }
  return (struct dtb_property){0, 0};
}

bool dtb_has_string(const struct dtb_node *node, const char *name, const char *text) {
  struct dtb_property property = dtb_property(node, name);
  uint32_t length = (uint32_t)strlen(text) + 1;
  for (uint32_t at = 0; at + length <= property.size;) {
    if (memcmp(property.data + at, text, length) == 0) return true;
    while (at < property.size && property.data[at] != 0) at++;
    at++;
  }
  return false;
}

uint32_t dtb_u32(struct dtb_property property, uint32_t index) {
  return property.data != 0 && property.size / 4 > index ? be32(property.data + 4 * index) : 0;
}

static uint64_t cells(struct dtb_property property, uint32_t index, uint32_t count) {
  uint64_t value = 0;
  for (uint32_t i = 0; i < count; i++) value = value << 32 | dtb_u32(property, index + i);
  return value;
}

uint64_t dtb_number(struct dtb_property property) { return cells(property, 0, property.size / 4); }

bool dtb_reg(const struct dtb_node *node, uint32_t index, uint64_t *address, uint64_t *size) {
  struct dtb_property reg = dtb_property(node, "reg");
  uint32_t entry = node->address_cells + node->size_cells;
  if (entry == 0 || reg.size / 4 / entry <= index) return false;
  *address = cells(reg, index * entry, node->address_cells);
  *size = cells(reg, index * entry + node->address_cells, node->size_cells);
  return true;
}

bool dtb_walk(const void *blob, void (*visit)(const struct dtb_node *, void *), void *context) {
  const uint8_t *dtb = blob;
  struct {
    uint32_t address_cells, size_cells, path_length;
  } stack[DEPTH_MAX];
  char path[DTB_PATH_MAX] = "";
  uint32_t depth = 0;
  struct token token;
  if (dtb_size(dtb) < 40) return false;
  for (uint32_t offset = be32(dtb + 8); read_token(dtb, offset, &token); offset = token.next) {
    if (token.kind == END) return depth == 0;
    if (token.kind == END_NODE) {
      if (depth == 0) return false;
      depth--;
      path[stack[depth].path_length] = 0;
    } else if (token.kind == BEGIN_NODE) {
      uint32_t length = (uint32_t)strlen(path), name = (uint32_t)strlen(token.name);
      if (depth == DEPTH_MAX || length + name + 2 > sizeof path) return false;
      stack[depth].path_length = length;
      if (depth > 0) {
        if (length > 1) path[length++] = '/';
        memcpy(path + length, token.name, name + 1);
      } else {
        memcpy(path, "/", 2);
      }
      struct dtb_node node = {path, 2, 1, token.next, dtb}; /* the defaults when the parent says nothing */
      if (depth > 0) {
        node.address_cells = stack[depth - 1].address_cells;
        node.size_cells = stack[depth - 1].size_cells;
      }
      struct dtb_property address_cells = dtb_property(&node, "#address-cells");
      struct dtb_property size_cells = dtb_property(&node, "#size-cells");
      stack[depth].address_cells = address_cells.data != 0 ? dtb_u32(address_cells, 0) : 2;
      stack[depth].size_cells = size_cells.data != 0 ? dtb_u32(size_cells, 0) : 1;
      if (stack[depth].address_cells > 4 || stack[depth].size_cells > 4) return false;
      depth++;
      visit(&node, context);
    }
  }
  return false;
}
