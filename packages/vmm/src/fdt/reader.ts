/**
 * Device tree blobs, read into a tree. Devicetree Specification 0.4, "Flattened Devicetree (DTB) Format". The blob may
 * come from anywhere: whatever is wrong with it is a value, and depth and sizes are bounded by the blob itself.
 */
import { FDT_BEGIN_NODE, FDT_END, FDT_END_NODE, FDT_HEADER_SIZE, FDT_MAGIC, FDT_NOP, FDT_PROP } from "./writer.js";

export interface FdtNode {
  readonly name: string;
  /** In the blob's order. */
  readonly properties: ReadonlyMap<string, Uint8Array>;
  readonly children: readonly FdtNode[];
}

export type FdtResult =
  | { readonly ok: true; readonly root: FdtNode; readonly totalSize: number }
  | { readonly ok: false; readonly problem: string };

const DEPTH_MAX = 64;

/** Reads a blob; bytes behind its total size are ignored. */
export function readFdt(blob: Uint8Array): FdtResult {
  try {
    return parse(blob);
  } catch (error) {
    if (error instanceof Malformed) return { ok: false, problem: error.message };
    throw error;
  }
}

class Malformed extends Error {}

interface OpenNode {
  readonly name: string;
  readonly properties: Map<string, Uint8Array>;
  readonly children: OpenNode[];
}

function parse(blob: Uint8Array): FdtResult {
  const view = new DataView(blob.buffer, blob.byteOffset, blob.byteLength);
  if (blob.length < FDT_HEADER_SIZE) throw new Malformed("shorter than the header");
  if (view.getUint32(0) !== FDT_MAGIC) throw new Malformed("wrong magic");
  const totalSize = view.getUint32(4);
  if (totalSize < FDT_HEADER_SIZE || totalSize > blob.length) throw new Malformed("total size outside the blob");
  if (view.getUint32(24) > 17 || view.getUint32(20) < 16) throw new Malformed("unknown version");
  const structure = view.getUint32(8);
  const structureEnd = structure + view.getUint32(36);
  const strings = view.getUint32(12);
  const stringsEnd = strings + view.getUint32(32);
  if (structureEnd > totalSize || stringsEnd > totalSize || structure % 4 !== 0)
    throw new Malformed("block outside the blob");

  let at = structure;
  const cell = (): number => {
    if (at + 4 > structureEnd) throw new Malformed("structure block ends too early");
    at += 4;
    return view.getUint32(at - 4);
  };
  const textAt = (offset: number, end: number): { readonly text: string; readonly next: number } => {
    const stop = blob.subarray(0, end).indexOf(0, offset);
    if (offset >= end || stop < 0) throw new Malformed("string without end");
    return { text: String.fromCharCode(...blob.subarray(offset, stop)), next: stop + 1 };
  };

  const open: OpenNode[] = [];
  for (;;) {
    const token = cell();
    const node = open.at(-1);
    if (token === FDT_NOP) continue;
    if (token === FDT_BEGIN_NODE) {
      const { text, next } = textAt(at, structureEnd);
      at = (next + 3) & ~3;
      if (open.length === DEPTH_MAX) throw new Malformed("nested too deeply");
      const child: OpenNode = { name: text, properties: new Map(), children: [] };
      node?.children.push(child);
      open.push(child);
    } else if (token === FDT_PROP) {
      const size = cell();
      const { text } = textAt(strings + cell(), stringsEnd);
      if (at + size > structureEnd) throw new Malformed("property larger than the block");
      if (node === undefined) throw new Malformed("property outside a node");
      node.properties.set(text, blob.slice(at, at + size));
      at = (at + size + 3) & ~3;
    } else if (token === FDT_END_NODE) {
      if (node === undefined) throw new Malformed("end of a node that is not open");
      if (open.length > 1) {
        open.pop();
        continue;
      }
      let end = cell();
      while (end === FDT_NOP) end = cell();
      if (end !== FDT_END) throw new Malformed("more than one root node");
      return { ok: true, root: node, totalSize };
    } else {
      throw new Malformed(`unknown token ${token}`);
    }
  }
}

/** The node at a path like `/cpus/cpu@0`. */
export function findNode(root: FdtNode, path: string): FdtNode | undefined {
  let node: FdtNode | undefined = root;
  for (const name of path.split("/").filter((part) => part !== "")) {
    node = node?.children.find((child) => child.name === name);
  }
  return node;
}

/** A property's 32-bit cells; undefined when there is none or its size is no multiple of 4. */
export function readCells(node: FdtNode | undefined, name: string): readonly number[] | undefined {
  const value = node?.properties.get(name);
  if (value === undefined || value.length % 4 !== 0) return undefined;
  const view = new DataView(value.buffer, value.byteOffset, value.byteLength);
  return Array.from({ length: value.length / 4 }, (_, i) => view.getUint32(4 * i));
}

/** A property's strings. */
export function readStrings(node: FdtNode | undefined, name: string): readonly string[] | undefined {
  const value = node?.properties.get(name);
  if (value === undefined || value.at(-1) !== 0) return undefined;
  return String.fromCharCode(...value.subarray(0, -1)).split("\0");
}
