'use strict';
/* Layered drawing of directed graphs (Sugiyama, Tagawa, Toda 1981): ranks by longest path, dummies on long edges,
 * crossings reduced by barycentres, x by least squares under the order (pool adjacent violators).
 *
 * layoutGraph(items, edges, options) takes items {w, h, order, rank?} and edges {from, to, dx, tx} (indices, and where the
 * edge leaves and enters as distances from the items' middles); sets x, y (corner) of items and points of edges; returns
 * {w, h}. rank: 'first' or 'last' pins an item to the border. */

const LAYOUT = {rankGap: 30, itemGap: 22, dummyGap: 10, sweeps: 10};

function layoutGraph(items, edges) {
  if (!items.length) return {w: 0, h: 0};
  const g = {cells: items.map((item, i) => ({item, i, w: item.w, h: item.h, up: [], down: []})), layers: []};
  assignRanks(g, items, edges);
  insertDummies(g, edges);
  orderLayers(g);
  placeX(g);
  return placeY(g, items, edges);
}

/* Longest path from the sources; then every item without operands moves down to its first user. */
function assignRanks(g, items, edges) {
  const {cells} = g;
  const forward = edges.filter((e) => items[e.from].order <= items[e.to].order && e.from !== e.to);
  const byOrder = cells.map((c) => c.i).sort((a, b) => items[a].order - items[b].order);
  const into = cells.map(() => []), outOf = cells.map(() => []);
  for (const e of forward) {
    into[e.to].push(e.from);
    outOf[e.from].push(e.to);
  }
  const pinned = items.some((i) => i.rank === 'first') ? 1 : 0;
  for (const i of byOrder) {
    cells[i].rank = items[i].rank === 'first' ? 0 : into[i].reduce((r, f) => Math.max(r, cells[f].rank + 1), pinned);
  }
  for (const i of [...byOrder].reverse()) {
    if (items[i].rank || into[i].length || !outOf[i].length) continue;
    cells[i].rank = Math.max(pinned, outOf[i].reduce((r, t) => Math.min(r, cells[t].rank - 1), Infinity));
  }
  let last = 0;
  cells.forEach((c, i) => items[i].rank !== 'last' && (last = Math.max(last, c.rank)));
  cells.forEach((c, i) => items[i].rank === 'last' && (c.rank = last + 1));
}

/* Every edge becomes a chain of cells one rank apart. Edges against the order are drawn, but do not count. */
function insertDummies(g, edges) {
  for (const e of edges) {
    const a = g.cells[e.from], b = g.cells[e.to];
    e.chain = [a];
    for (let r = a.rank + 1; r < b.rank; r++) {
      const dummy = {w: 0, h: 0, rank: r, dummy: true, up: [], down: []};
      g.cells.push(dummy);
      e.chain.push(dummy);
    }
    e.chain.push(b);
    if (b.rank <= a.rank) continue;
    for (let k = 0; k + 1 < e.chain.length; k++) {
      const weight = e.chain[k].dummy && e.chain[k + 1].dummy ? 8 : e.chain[k].dummy || e.chain[k + 1].dummy ? 2 : 3;
      const dx = k ? 0 : e.dx || 0, tx = k + 2 < e.chain.length ? 0 : e.tx || 0;
      e.chain[k].down.push({to: e.chain[k + 1], at: dx, other: tx, weight});
      e.chain[k + 1].up.push({to: e.chain[k], at: tx, other: dx, weight});
    }
  }
  for (const c of g.cells) (g.layers[c.rank] ||= []).push(c);
  g.layers = Array.from(g.layers, (l) => l || []);
}

/* ---- order in the layers ---- */

function orderLayers(g) {
  g.layers.forEach((layer) => layer.forEach((c, k) => (c.pos = k)));
  let best = null, least = Infinity;
  for (let sweep = 0; sweep < LAYOUT.sweeps; sweep++) {
    const down = sweep % 2 === 0;
    const layers = down ? g.layers : [...g.layers].reverse();
    for (const layer of layers) sortLayer(layer, down ? 'up' : 'down');
    const crossings = countCrossings(g);
    if (crossings < least) {
      least = crossings;
      best = g.layers.map((l) => [...l]);
    }
    if (!crossings) break;
  }
  g.layers = best || g.layers;
  g.layers.forEach((layer) => layer.forEach((c, k) => (c.pos = k)));
}

function sortLayer(layer, side) {
  for (const c of layer) {
    const near = c[side];
    c.bary = near.length ? near.reduce((s, n) => s + n.to.pos + n.other / 1e4, 0) / near.length : c.pos;
  }
  layer.sort((a, b) => a.bary - b.bary || a.pos - b.pos);
  layer.forEach((c, k) => (c.pos = k));
}

function countCrossings(g) {
  let sum = 0;
  for (const layer of g.layers) {
    const ends = layer.flatMap((c) => [...c.down].sort((a, b) => a.at - b.at || a.to.pos - b.to.pos).map((d) => d.to.pos + d.other / 1e4));
    if (ends.length > 400) return 0; /* wide graphs: barycentres must do */
    for (let i = 0; i < ends.length; i++) for (let k = i + 1; k < ends.length; k++) if (ends[i] > ends[k]) sum++;
  }
  return sum;
}

/* ---- coordinates ---- */

function gapBetween(a, b) {
  return (a.w + b.w) / 2 + (a.dummy || b.dummy ? LAYOUT.dummyGap : LAYOUT.itemGap);
}

/* Middles c.x: sweeps that move each layer to where its neighbours pull it. */
function placeX(g) {
  for (const layer of g.layers) {
    let x = 0;
    layer.forEach((c, k) => {
      x += k ? gapBetween(layer[k - 1], c) : 0;
      c.x = x;
    });
    layer.forEach((c) => (c.x -= x / 2));
  }
  for (let sweep = 0; sweep < 14; sweep++) {
    const both = sweep >= 10;
    const layers = sweep % 2 ? [...g.layers].reverse() : g.layers;
    for (const layer of layers) pullLayer(layer, both ? ['up', 'down'] : [sweep % 2 ? 'down' : 'up']);
  }
}

/* Minimises the weighted squares of the distances to where the neighbours are, keeping order and gaps. */
function pullLayer(layer, sides) {
  const pools = [];
  let offset = 0;
  layer.forEach((c, k) => {
    offset += k ? gapBetween(layer[k - 1], c) : 0;
    let sum = 0, weight = 0;
    for (const side of sides) {
      for (const n of c[side]) {
        sum += n.weight * (n.to.x + n.other - n.at);
        weight += n.weight;
      }
    }
    const wish = weight ? sum / weight : c.x;
    weight = weight || 0.01;
    let pool = {value: wish - offset, weight, cells: [[c, offset]]};
    while (pools.length && pools[pools.length - 1].value > pool.value) {
      const p = pools.pop(), w = p.weight + pool.weight;
      pool = {value: (p.value * p.weight + pool.value * pool.weight) / w, weight: w, cells: [...p.cells, ...pool.cells]};
    }
    pools.push(pool);
  });
  for (const p of pools) for (const [c, o] of p.cells) c.x = p.value + o;
}

function placeY(g, items, edges) {
  let left = Infinity, right = -Infinity;
  for (const c of g.cells) {
    left = Math.min(left, c.x - c.w / 2);
    right = Math.max(right, c.x + c.w / 2);
  }
  let y = 0;
  g.layers.forEach((layer, r) => {
    const h = layer.reduce((m, c) => Math.max(m, c.h), 0);
    layer.forEach((c) => Object.assign(c, {x: c.x - left, top: y + (h - c.h) / 2, layerTop: y, layerBottom: y + h}));
    const slope = layer.reduce((m, c) => c.down.reduce((k, d) => Math.max(k, Math.abs(d.to.x - left + d.other - c.x - d.at)), m), 0);
    if (r + 1 < g.layers.length) y += h + LAYOUT.rankGap + Math.min(60, slope / 14);
    else y += h;
  });
  items.forEach((item, i) => Object.assign(item, {x: g.cells[i].x - item.w / 2, y: g.cells[i].top}));
  for (const e of edges) e.points = edgePoints(e);
  return {w: right - left, h: y};
}

function edgePoints(e) {
  const points = [];
  e.chain.forEach((c, k) => {
    if (k === 0) points.push([c.x + (e.dx || 0), c.top + c.h]);
    else if (k + 1 === e.chain.length) points.push([c.x + (e.tx || 0), c.top]);
    else points.push([c.x, c.layerTop], [c.x, c.layerBottom]);
  });
  delete e.chain;
  return points;
}

/* A smooth path that leaves and enters vertically. */
function curve(points) {
  let d = 'M' + points[0].map((v) => v.toFixed(1)).join(' ');
  for (let i = 1; i < points.length; i++) {
    const [x0, y0] = points[i - 1], [x1, y1] = points[i], bend = Math.max(12, Math.abs(y1 - y0) / 2);
    d += x0 === x1 && y1 >= y0 ? 'V' + y1.toFixed(1)
      : 'C' + [x0, y0 + bend, x1, y1 - bend, x1, y1].map((v) => v.toFixed(1)).join(' ');
  }
  return d;
}
