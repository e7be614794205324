'use strict';
/* The network as a drawn graph: blocks open and close, only open ones are laid out. */

const HEATS = [['flops', 'FLOPs'], ['weights', 'weights'], ['moved', 'bytes moved']];

const graph = {open: new Map(), heat: 'flops', at: {x: 0, y: 0, k: 1}, drawn: []};

function openBlocks(func) {
  if (!graph.open.has(func)) graph.open.set(func, new Set());
  return graph.open.get(func);
}

/* ---- drawing ---- */

function drawGraph() {
  const func = state.func;
  graph.drawn = [];
  graph.lines = [];
  graph.max = 0;
  const box = layoutBlock(func.tree, openBlocks(func));
  graph.size = box;
  eachLeaf(box, (i) => (graph.max = Math.max(graph.max, heatOf(i))));
  graph.layer.replaceChildren();
  drawMembers(box, 0, 0, graph.layer, 0);
  markSelection();
}

function heatOf(item) {
  return item.output ? 0 : item.node ? item.node[graph.heat] || 0 : item.block ? item.block.totals[graph.heat] : 0;
}

function eachLeaf(box, f) {
  for (const i of box.items) i.inner ? eachLeaf(i.inner, f) : f(i);
}

function drawMembers(box, x, y, layer, depth) {
  for (const e of box.edges) drawEdge(box, e, x, y, layer);
  for (const i of box.items) if (!i.port) drawItem(i, x + i.x, y + i.y, layer, depth + 1);
}

function drawEdge(box, e, x, y, layer) {
  const points = e.points.map(([a, b]) => [a + x, b + y]);
  const end = box.items[e.to];
  const path = svg('path.edge', {d: curve(points), 'marker-end': end.port || end.inner ? null : 'url(#arrow)'});
  const line = {path, from: box.items[e.from], to: end, sources: e.sources};
  graph.lines.push(line);
  const hit = svg('path.edge-hit', {d: curve(points), ...tipOf(() => edgeTip(line)), onclick: () => select(e.sources[0])});
  layer.append(path, hit);
}

function edgeTip(line) {
  const s = line.sources;
  return [s.length === 1 ? s[0].label + ' ' + s[0].name : s.length + ' values', ...s.slice(0, 6).map((n) => (s.length > 1 ? n.label + ' ' : '') + n.type + (n.view ? '' : '  ' + bytesText(n.bytes)))];
}

function drawItem(item, x, y, layer, depth) {
  const what = item.output ? null : item.node || item.block;
  const kind = item.output ? 'out' : item.node ? 'k-' + item.node.kind : 'block';
  const g = svg('g.box.' + kind + (item.inner ? '.open' : ''), {
    transform: 'translate(' + x.toFixed(1) + ' ' + y.toFixed(1) + ')', role: 'treeitem', id: 'box-' + graph.drawn.length,
    'aria-level': depth, 'aria-label': itemLabel(item), 'aria-expanded': item.block ? String(!!item.inner) : null,
  });
  graph.drawn.push({what, item, g, x, y, w: item.w, h: item.inner ? BOX.head : item.h});
  layer.append(g);
  if (!item.inner) return drawClosed(item, g);
  g.append(svg('rect.shell', {width: item.w, height: item.h, rx: 12, 'data-depth': Math.min(depth, 5)}));
  drawMembers(item.inner, x, y, layer, depth);
  layer.append(drawHead(item, x, y)); /* over the edges that enter */
  return undefined;
}

function itemLabel(item) {
  if (item.output) return 'output ' + item.output.name;
  return (item.block ? 'block ' + item.block.path : item.node.label + ' ' + item.node.name + ' ' + item.node.op) + ' ' + (item.lines || []).slice(1).map((l) => l[1]).join(', ');
}

function drawHead(item, x, y) {
  const b = item.block, name = clip(b.name, 'name', item.w - 60), used = 38 + textWidth(name, 'name');
  return svg('g.box.open-head', {transform: 'translate(' + x.toFixed(1) + ' ' + y.toFixed(1) + ')', 'aria-hidden': 'true'},
    svg('rect.head', {width: item.w, height: BOX.head, rx: 12, onclick: () => clickBlock(b)}),
    svg('text.chevron', {x: 14, y: 20}, '▾'), svg('text.name', {x: 30, y: 20}, name),
    svg('text.small', {x: used, y: 20}, clip(flopsText(b.totals.flops) + ' · ' + plural(b.totals.ops, 'op'), 'small', Math.max(20, item.w - used - 12))));
}

function drawClosed(item, g) {
  const pill = item.output || (item.node && item.node.op === 'input');
  const left = item.block ? 30 : 14, round = pill ? item.h / 2 : 8;
  if (item.block) g.append(svg('rect.behind', {x: 4, y: 4, width: item.w, height: item.h, rx: round}));
  g.append(svg('rect.face', {width: item.w, height: item.h, rx: round}));
  if (!pill && !item.block) g.append(svg('path.stripe', {d: 'M8 0H5Q0 0 0 6V' + (item.h - 6) + 'Q0 ' + item.h + ' 5 ' + item.h + 'H5V0Z'}));
  if (item.block) g.append(svg('text.chevron', {x: 12, y: 19}, '▸'));
  item.lines.forEach(([font, text], k) => g.append(pill
    ? svg('text.' + font, {x: item.w / 2, y: 19 + k * BOX.line, 'text-anchor': 'middle'}, clip(text, font, item.w - 20))
    : svg('text.' + font, {x: left, y: 19 + k * BOX.line}, clip(text, font, item.w - left - 8))));
  const share = graph.max ? heatOf(item) / graph.max : 0;
  if (share > 0.004) g.append(svg('rect.heat', {x: 10, y: item.h - 4, height: 2.5, rx: 1.2, width: Math.max(2, (item.w - 20) * share)}));
  g.addEventListener('click', () => item.block ? clickBlock(item.block) : select(item.node));
  if (item.node) g.addEventListener('pointermove', (e) => showTip(e, nodeTip(item.node)));
  if (item.block) g.addEventListener('pointermove', (e) => showTip(e, [item.block.path, plural(item.block.totals.ops, 'op'), flopsText(item.block.totals.flops), bytesText(item.block.totals.weights) + ' weights', 'click to open']));
  g.addEventListener('pointerleave', hideTip);
}

function nodeTip(n) {
  return [n.label + ' ' + n.name, n.op + (n.kernel ? ' · kernel ' + n.kernel : ''), n.type, n.flops ? flopsText(n.flops) : '', n.weights ? bytesText(n.weights) + ' weights' : '',
    n.place ? 'at ' + n.place + '+' + n.offset : '', n.time ? timeText(n.time) + ' a call' : ''];
}

/* ---- opening and closing ---- */

/* Where a block's corner is on the screen, so that it stays there when the layout changes. */
function clickBlock(block) {
  const shown = graph.drawn.find((d) => d.what === block);
  toggle(block);
  const now = graph.drawn.find((d) => d.what === block);
  if (shown && now) moveTo(graph.at.x + (shown.x + shown.w / 2 - now.x - now.w / 2) * graph.at.k, graph.at.y + (shown.y - now.y) * graph.at.k, graph.at.k);
  select(block);
}

function toggle(block) {
  const open = openBlocks(block.func);
  if (!open.delete(block)) open.add(block);
  say(block.path + (open.has(block) ? ' opened' : ' closed'));
  drawGraph();
}

function openOneLevel() {
  const open = openBlocks(state.func);
  const closed = graph.drawn.filter((d) => d.item.block && !d.item.inner).map((d) => d.what);
  closed.forEach((b) => open.add(b));
  drawGraph();
  fit();
}

function closeAll() {
  openBlocks(state.func).clear();
  drawGraph();
  fit();
}

/* Opens all blocks around a node or block. */
function openAround(what) {
  const open = openBlocks(what.func);
  let changed = false;
  for (let b = what.op ? what.inBlock : what.parent; b && b.parent; b = b.parent) {
    if (!open.has(b)) changed = true;
    open.add(b);
  }
  return changed;
}

/* ---- zooming and moving ---- */

function moveTo(x, y, k) {
  graph.at = {x, y, k};
  graph.layer.setAttribute('transform', 'translate(' + x + ' ' + y + ') scale(' + k + ')');
}

function zoom(factor, cx, cy) {
  const {x, y, k} = graph.at, to = Math.min(3, Math.max(0.04, k * factor));
  const box = graph.svg.getBoundingClientRect();
  const mx = cx === undefined ? box.width / 2 : cx, my = cy === undefined ? box.height / 2 : cy;
  moveTo(mx - (mx - x) * to / k, my - (my - y) * to / k, to);
}

function fit() {
  const box = graph.svg.getBoundingClientRect();
  if (!box.width || !graph.size) return;
  const k = Math.min(1.15, Math.max(0.62, (box.height - 30) / graph.size.h), Math.max(0.3, (box.width - 40) / graph.size.w));
  const y = graph.size.h * k < box.height ? (box.height - graph.size.h * k) / 2 : 8;
  moveTo((box.width - graph.size.w * k) / 2, y, k);
}

function center(what) {
  const d = graph.drawn.find((x) => x.what === what), box = graph.svg.getBoundingClientRect();
  if (!d) return;
  const k = Math.max(graph.at.k, 0.8);
  moveTo(box.width / 2 - (d.x + d.w / 2) * k, box.height / 2 - (d.y + d.h / 2) * k, k);
}

function addPanning(surface) {
  let from = null;
  surface.addEventListener('pointerdown', (e) => {
    if (e.button === 0) from = {x: e.clientX - graph.at.x, y: e.clientY - graph.at.y, moved: false, id: e.pointerId};
  });
  surface.addEventListener('pointermove', (e) => {
    if (!from) return;
    const x = e.clientX - from.x, y = e.clientY - from.y;
    if (!from.moved && Math.hypot(x - graph.at.x, y - graph.at.y) < 4) return;
    if (!from.moved) surface.setPointerCapture(from.id);
    from.moved = true;
    moveTo(x, y, graph.at.k);
  });
  const end = () => (from = null);
  surface.addEventListener('pointerup', end);
  surface.addEventListener('pointercancel', end);
  surface.addEventListener('wheel', (e) => {
    e.preventDefault();
    const box = surface.getBoundingClientRect();
    zoom(Math.exp(-e.deltaY * (e.ctrlKey ? 0.01 : 0.0016)), e.clientX - box.left, e.clientY - box.top);
  }, {passive: false});
}

/* ---- selection and keyboard ---- */

function markSelection() {
  const what = state.node || state.block;
  const twins = state.node ? linked(state.node) : [];
  let current = null;
  for (const d of graph.drawn) {
    const on = what && d.what === what;
    d.g.classList.toggle('selected', !!on);
    d.g.classList.toggle('twin', twins.includes(d.what));
    d.g.setAttribute('aria-selected', String(!!on));
    if (on) current = d;
  }
  for (const l of graph.lines) {
    const near = current && (l.from === current.item || l.to === current.item);
    l.path.classList.toggle('hot', !!near);
  }
  if (current) graph.surface.setAttribute('aria-activedescendant', current.g.id);
}

const DIRECTIONS = {ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0]};

function graphKey(e) {
  if (e.key === '+' || e.key === '=') zoom(1.25);
  else if (e.key === '-') zoom(0.8);
  else if (e.key === '0') fit();
  else if (DIRECTIONS[e.key]) step(DIRECTIONS[e.key]);
  else if (e.key === 'Enter' && state.block) clickBlock(state.block);
  else return false;
  return true;
}

/* To the nearest box in a direction; distance across counts more than along. */
function step([dx, dy]) {
  const now = graph.drawn.find((d) => d.what && d.what === (state.node || state.block));
  const boxes = graph.drawn.filter((d) => d.what && d !== now);
  if (!now) return boxes[0] && arrive(boxes[0].what);
  const mx = now.x + now.w / 2, my = now.y + now.h / 2;
  let best = null, least = Infinity;
  for (const d of boxes) {
    const x = d.x + d.w / 2 - mx, y = d.y + d.h / 2 - my, along = x * dx + y * dy;
    if (along <= 4) continue;
    const score = along + 2.2 * Math.abs(x * dy) + 2.2 * Math.abs(y * dx);
    if (score < least) {
      least = score;
      best = d;
    }
  }
  if (best) arrive(best.what);
}

function arrive(what) {
  select(what);
  const d = graph.drawn.find((x) => x.what === what), box = graph.svg.getBoundingClientRect(), {x, y, k} = graph.at;
  const left = d.x * k + x, top = d.y * k + y;
  if (left < 20 || top < 20 || left + d.w * k > box.width - 20 || top + d.h * k > box.height - 20) center(what);
}

/* ---- the view ---- */

/* [value, text] of all functions of both modules. */
function funcChoices(onlyAfter) {
  const of = (m, tag) => m ? m.funcs.map((f) => [m.side + '/' + f.name, f.name + tag]) : [];
  return [...of(after, ''), ...(onlyAfter ? [] : of(before, ' (graph IR)'))];
}

function funcByKey(key) {
  const at = key.indexOf('/');
  return (key.slice(0, at) === 'before' ? before : after).func(key.slice(at + 1));
}

function funcKey(func) {
  return func.module.side + '/' + func.name;
}

function legend() {
  return el('div.legend', {'aria-hidden': 'true'}, Object.entries(KINDS).map(([k, [text]]) => el('span', null, el('i.dot.k-' + k), text)));
}

/* The same stage of the network at the other end of the passes. */
function otherEnd(side) {
  if (side === state.side) return state.func;
  return side === 'before' ? sourceOf(state.func) : loweredOf(state.func).reduce((a, f) => !a || funcFlops(f) > funcFlops(a) ? f : a, null);
}

function graphTools() {
  const pick = choice('Function', funcChoices(), funcKey(state.func), (key) => setFunc(funcByKey(key)));
  const ends = before ? segments('IR', [['before', 'as described'], ['after', 'as compiled']], state.side, (side) => {
    const f = otherEnd(side);
    if (f) setFunc(f);
  }) : '';
  graph.tools.replaceChildren(pick, ends, choice('Bars', graph.heats || HEATS, graph.heat, (h) => {
    graph.heat = h;
    drawGraph();
  }), el('span.grow'), button('Open one level', 'open all blocks in sight', openOneLevel), button('Close all', 'close all blocks', closeAll),
  el('span.segments', null, button('−', 'zoom out (-)', () => zoom(0.8)), button('Fit', 'fit (0)', fit), button('+', 'zoom in (+)', () => zoom(1.25))));
}

if (after) addView({
  name: 'graph', title: 'Graph',
  make() {
    graph.layer = svg('g');
    graph.svg = svg('svg', {'aria-hidden': 'false'}, svg('defs', null, svg('marker', {id: 'arrow', viewBox: '0 0 8 8', refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, markerUnits: 'userSpaceOnUse', orient: 'auto'}, svg('path.arrow', {d: 'M0 1L7 4L0 7Z'}))), graph.layer);
    graph.surface = el('div.canvas', {tabindex: 0, role: 'tree', 'aria-label': 'Blocks and ops of the function; arrow keys move, Enter opens'}, graph.svg);
    graph.tools = el('div.tools');
    addPanning(graph.surface);
    return [graph.tools, graph.surface, legend()];
  },
  shown() {
    if (graph.func !== state.func) this.func();
  },
  func() {
    graph.func = state.func;
    graphTools();
    drawGraph();
    fit();
  },
  selected: markSelection,
  reveal(what) {
    if (openAround(what)) drawGraph();
    center(what);
  },
  key: graphKey,
});
