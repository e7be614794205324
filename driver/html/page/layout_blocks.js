'use strict';
/* Layout of a function as boxes in boxes: open blocks are laid out inside first, then stand as one box in the graph
 * around them. An edge that crosses the border of an open block meets it at a port, which has its place from the layout
 * inside and is where the edge outside begins or ends. */

const BOX = {head: 30, pad: 12, line: 15};
const pen = document.createElement('canvas').getContext('2d');
const FONTS = {name: '600 12px system-ui, sans-serif', small: '10.5px system-ui, sans-serif', mono: '10.5px ui-monospace, monospace'};
const widths = new Map();

function textWidth(text, font) {
  const key = font + text;
  let w = widths.get(key);
  if (w === undefined) {
    pen.font = FONTS[font];
    widths.set(key, w = pen.measureText(text).width);
  }
  return w;
}

/* The longest beginning that fits, with an ellipsis. */
function clip(text, font, width) {
  if (textWidth(text, font) <= width) return text;
  let lo = 0, hi = text.length;
  while (lo + 1 < hi) {
    const mid = (lo + hi) >> 1;
    if (textWidth(text.slice(0, mid) + '…', font) <= width) lo = mid;
    else hi = mid;
  }
  return text.slice(0, lo) + '…';
}

/* Lines of a box: [font, text]. */
function nodeLines(n) {
  if (n.op === 'input') return [['name', n.name], ['mono', n.type], ['small', 'input · every ' + n.freq]];
  const work = [n.kernel || (n.name === n.op ? '' : n.op), n.flops ? flopsText(n.flops) : '', n.weights ? bytesText(n.weights) : ''];
  return [['name', n.name === n.op || n.kernel ? n.name : n.name], ['mono', n.type], ['small', work.filter(Boolean).join(' · ')]].filter(([, t]) => t);
}

function blockLines(b) {
  const t = b.totals;
  return [['name', b.name], ['small', plural(t.ops, 'op') + (b.children.length ? ' · ' + plural(b.children.length, 'block') : '')],
    ['small', [t.flops ? flopsText(t.flops) : '', t.weights ? bytesText(t.weights) : ''].filter(Boolean).join(' · ')]].filter(([, x]) => x);
}

function boxOf(lines, extra) {
  const w = Math.max(...lines.map(([font, text]) => textWidth(text, font))) + extra;
  return {lines, w: Math.min(270, Math.max(116, Math.ceil(w))), h: 14 + lines.length * BOX.line};
}

/* The box of an open block: {block, items, edges, w, h, ins, outs}; ins and outs: node id -> x of its port from the middle. */
function layoutBlock(block, open) {
  const items = [], at = new Map();
  for (const member of [...block.children, ...block.ops]) {
    const index = items.length;
    if (member.op) {
      items.push({node: member, ...boxOf(nodeLines(member), 26), order: member.id});
      at.set(member, index);
    } else {
      const inner = open.has(member) ? layoutBlock(member, open) : null;
      items.push({block: member, inner, order: member.first, ...(inner ? {w: inner.w, h: inner.h} : boxOf(blockLines(member), 40))});
      member.nodes.forEach((n) => at.set(n, index));
    }
  }
  const edges = [], ports = {first: new Map(), last: new Map()};
  addEdges(block, items, at, edges, ports);
  if (!block.parent) addOutputs(block, items, at, edges);
  const size = layoutGraph(items, edges);
  const box = {block, items, edges, w: Math.max(size.w, textWidth(block.name, 'name') + 150) + 2 * BOX.pad, h: size.h + BOX.head + 2 * BOX.pad};
  const shift = (box.w - size.w) / 2, middle = box.w / 2;
  for (const i of items) {
    i.x += shift;
    i.y += BOX.head + BOX.pad;
  }
  for (const e of edges) e.points.forEach((p) => ((p[0] += shift), (p[1] += BOX.head + BOX.pad)));
  box.ins = new Map([...ports.first].map(([id, i]) => [id, items[i].x - middle]));
  box.outs = new Map([...ports.last].map(([id, i]) => [id, items[i].x - middle]));
  for (const e of edges) {
    if (items[e.from].rank === 'first') e.points[0][1] = 0;
    if (items[e.to].rank === 'last') e.points[e.points.length - 1][1] = box.h;
  }
  return box;
}

/* Edges between members, once a pair (and source, where a side is open), and to ports where they leave the block. */
function addEdges(block, items, at, edges, ports) {
  const known = new Map(), inside = new Set(block.nodes), root = !block.parent;
  const port = (side, n) => {
    if (!ports[side].has(n.id)) {
      ports[side].set(n.id, items.length);
      items.push({port: n, rank: side, w: 6, h: 0, order: side === 'first' ? -1 : Infinity});
    }
    return ports[side].get(n.id);
  };
  const add = (from, to, source) => {
    if (from === to) return;
    const key = from + ' ' + to + (items[from].inner || items[to].inner ? ' ' + source.id : '');
    const edge = known.get(key);
    if (edge) {
      if (!edge.sources.includes(source)) edge.sources.push(source);
      return;
    }
    const made = {from, to, sources: [source], dx: items[from].inner?.outs.get(source.id), tx: items[to].inner?.ins.get(source.id)};
    known.set(key, made);
    edges.push(made);
  };
  for (const v of block.nodes) {
    for (const id of v.operands) {
      const u = id < 0 ? null : v.func.nodes[id];
      if (u && !u.constant) add(inside.has(u) ? at.get(u) : port('first', u), at.get(v), u);
    }
  }
  if (root) return;
  const outputs = new Set(block.func.outputs.map((o) => o.id));
  for (const u of block.nodes)
    if (outputs.has(u.id) || u.users.some((v) => !inside.has(v) && !v.constant)) add(at.get(u), port('last', u), u);
}

function addOutputs(block, items, at, edges) {
  for (const o of block.func.outputs) {
    const n = block.func.nodes[o.id];
    if (n.constant) continue;
    items.push({output: o, node: n, ...boxOf([['name', o.name.replace(/^%/, '').split('.').slice(-2).join('.')], ['small', 'output']], 30), order: 1e9});
    edges.push({from: at.get(n), to: items.length - 1, sources: [n], dx: items[at.get(n)].inner?.outs.get(n.id)});
  }
}
