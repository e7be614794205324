'use strict';
/* Which nodes of the lowered IR came from which nodes of the graph, both ways.
 *
 * Passes keep a node's origin, but not what it absorbed. So: nodes that read the same weight belong together; nodes
 * without weights belong to those of their block with the same op, or with the op that composes theirs; what is left
 * (activations, sums, reshapes that were taken in) goes with the neighbour that took it. */

/* The graph's function that a lowered function was cut from. */
function sourceOf(func) {
  if (!before) return null;
  return before.func(func.name) || before.func(func.network) || null;
}

/* Lowered functions that were cut from a function of the graph. */
function loweredOf(func) {
  return after.funcs.filter((f) => sourceOf(f) === func);
}

const linkCache = new Map();

/* {down: graph node -> lowered nodes, up: lowered node -> graph nodes}, over all stages of the network. */
function linksOf(graph) {
  let links = linkCache.get(graph);
  if (!links) linkCache.set(graph, links = makeLinks(graph, loweredOf(graph)));
  return links;
}

function addTo(map, key, value) {
  const list = map.get(key);
  if (!list) map.set(key, [value]);
  else if (!list.includes(value)) list.push(value);
}

function makeLinks(graph, lowered) {
  const links = {down: new Map(), up: new Map()};
  const join = (g, l) => {
    addTo(links.down, g, l);
    addTo(links.up, l, g);
  };
  const lows = lowered.flatMap((f) => f.working);
  joinInputs(graph, lows, join);
  joinByWeight(graph, lows, join);
  joinByBlock(graph, lows, links, join);
  joinAbsorbed(graph, links, join);
  return links;
}

function joinInputs(graph, lows, join) {
  const named = new Map();
  for (const g of graph.working) if (g.op === 'input') named.set(g.input, g);
  for (const l of lows) if (l.op === 'input' && named.has(l.input)) join(named.get(l.input), l);
}

function joinByWeight(graph, lows, join) {
  const readers = new Map();
  for (const g of graph.working) for (const w of weightsOf(g)) addTo(readers, w, g);
  for (const l of lows) {
    for (const w of weightsOf(l)) {
      for (const g of readers.get(w) || []) {
        join(g, l);
        /* statistics of a norm are applied by who reads them */
        if (l.op === 'group_stats') l.users.forEach((u) => join(g, u));
      }
    }
  }
}

/* The graph's ops that a composite op of the lowered IR stands for. */
const COMPOSED = {
  attention: ['matmul', 'softmax', 'reshape', 'transpose'], attention_tiled: ['matmul', 'softmax', 'reshape', 'transpose'],
  pack_k: ['reshape', 'transpose'], pack_v: ['reshape', 'transpose'], norm_apply: ['group_norm'], layout_cast: [], view: ['reshape', 'transpose'],
};

function joinByBlock(graph, lows, links, join) {
  const blocks = new Map();
  for (const g of graph.working) if (!links.down.has(g)) addTo(blocks, g.block, g);
  for (const l of lows) {
    if (links.up.has(l) || l.op === 'input') continue;
    const ops = COMPOSED[l.op] || [];
    for (const g of blocks.get(l.block) || []) {
      const same = g.op === l.op && (g.type === l.type.replace(/:c16$/, ''));
      const member = ops.includes(g.op) || (l.op === 'ew' && g.kind === 'ew');
      if (same || member) join(g, l);
    }
  }
}

/* Ops that join what reads them rather than what they read. */
const JOINS_READER = /^(silu|group_norm|resize_nearest|concat|reshape|transpose|slice)$/;

function joinAbsorbed(graph, links, join) {
  const nodes = graph.working;
  const near = (g) => {
    const reads = g.operands.map((id) => id < 0 ? null : graph.nodes[id]).filter((o) => o && !o.constant).reverse();
    return JOINS_READER.test(g.op) ? [...g.users, ...reads] : [...reads, ...g.users];
  };
  /* twice forward and backward, so that chains find their way */
  for (const order of [[...nodes].reverse(), nodes, [...nodes].reverse(), nodes]) {
    for (const g of order) {
      if (links.down.has(g) || g.op === 'input') continue;
      const taker = near(g).find((x) => x.op !== 'input' && links.down.has(x));
      if (taker) (links.down.get(taker) || []).forEach((l) => l.op !== 'group_stats' && join(g, l));
    }
  }
}

/* Nodes on the other side of a node. */
function linked(n) {
  const graph = n.func.module === before ? n.func : sourceOf(n.func);
  if (!graph) return [];
  const links = linksOf(graph);
  return (n.func.module === before ? links.down.get(n) : links.up.get(n)) || [];
}
