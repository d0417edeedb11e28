/**
 * Control flow as WebAssembly has it: blocks and loops that nest. The graph's strongly connected components in topological
 * order become a list of items; a component with a cycle becomes a loop, whose heads are the nodes entered from outside;
 * without the edges into its heads the rest of it is structured in the same way.
 */
import { invariant } from "@realmbox/abi";

export type Item =
  | { readonly kind: "node"; readonly node: number }
  | { readonly kind: "loop"; readonly heads: readonly number[]; readonly items: readonly Item[] };

/** Strongly connected components of some nodes, in topological order. Tarjan's algorithm without recursion. */
function components(nodes: readonly number[], successors: (node: number) => readonly number[]): number[][] {
  const index = new Map<number, number>();
  const low = new Map<number, number>();
  const onStack = new Set<number>();
  const stack: number[] = [];
  const out: number[][] = [];
  let next = 0;
  for (const root of nodes) {
    if (index.has(root)) continue;
    const work: { node: number; to: readonly number[]; at: number }[] = [];
    const enter = (node: number) => {
      index.set(node, next);
      low.set(node, next++);
      stack.push(node);
      onStack.add(node);
      work.push({ node, to: successors(node), at: 0 });
    };
    enter(root);
    while (work.length > 0) {
      const top = work[work.length - 1]!;
      if (top.at < top.to.length) {
        const to = top.to[top.at++]!;
        if (!index.has(to)) enter(to);
        else if (onStack.has(to)) low.set(top.node, Math.min(low.get(top.node)!, index.get(to)!));
        continue;
      }
      work.pop();
      const parent = work[work.length - 1];
      if (parent) low.set(parent.node, Math.min(low.get(parent.node)!, low.get(top.node)!));
      if (low.get(top.node) !== index.get(top.node)) continue;
      const component: number[] = [];
      let node: number;
      do {
        node = stack.pop()!;
        onStack.delete(node);
        component.push(node);
      } while (node !== top.node);
      out.push(component.reverse());
    }
  }
  return out.reverse();
}

/**
 * Structures a graph of `count` nodes, numbered from 0, which is entered at `start`. Nodes that cannot be reached are left
 * out.
 */
export function structure(count: number, start: number, successors: readonly (readonly number[])[]): Item[] {
  const reached = new Set([start]);
  for (const node of reached) for (const to of successors[node]!) reached.add(to);
  const predecessors = Array.from({ length: count }, (): number[] => []);
  for (const node of reached) for (const to of successors[node]!) predecessors[to]!.push(node);

  const build = (nodes: readonly number[], isEdge: (from: number, to: number) => boolean): Item[] => {
    const within = new Set(nodes);
    const next = (node: number) => successors[node]!.filter((to) => within.has(to) && isEdge(node, to));
    return components(nodes, next).map((component): Item => {
      const [first] = component;
      if (component.length === 1 && !next(first!).includes(first!)) return { kind: "node", node: first! };
      const inside = new Set(component);
      const heads = component.filter((node) => node === start || predecessors[node]!.some((from) => !inside.has(from)));
      invariant(heads.length > 0, "a loop is entered somewhere");
      const isHead = new Set(heads);
      const items = build(component, (from, to) => isEdge(from, to) && !isHead.has(to));
      return { kind: "loop", heads, items };
    });
  };
  return build([...reached], () => true);
}
