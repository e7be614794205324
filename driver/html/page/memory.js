'use strict';
/* The memory plan over time: every value that lies in the arena as a rectangle from the op that writes it to the last
 * that reads it, at its offset; the arena's size and the bound no plan can beat; below, the bytes alive at each op. */

const memory = {zoom: null};
const MARGIN = {left: 74, right: 20, top: 24, bottom: 124}, STRIP = {top: 98, bottom: 34};

/* {steps: nodes in order, values: [{n, from, to, offset, bytes}], live: bytes at each step} */
function planOf(func) {
  if (func.plan) return func.plan;
  const steps = func.working.filter((n) => n.op !== 'input'), when = new Map(steps.map((n, i) => [n.id, i]));
  const stepAt = (id) => {
    while (id >= 0 && !when.has(id)) id--;
    return id >= 0 ? when.get(id) : 0;
  };
  const values = steps.filter((n) => n.place === 'arena' && !n.view).map((n) => ({
    n, from: when.get(n.id), to: stepAt(lastReader(n)), offset: n.offset, bytes: Math.ceil(n.bytes / 64) * 64,
  }));
  const delta = new Array(steps.length + 2).fill(0);
  for (const v of values) v.taken = values.find((o) => o !== v && o.from > v.from && o.from <= v.to && o.offset < v.offset + v.bytes && v.offset < o.offset + o.bytes);
  for (const v of values) {
    if (v.taken) v.to = Math.min(v.to, v.taken.from - 1); /* written over in place by its last reader */
    delta[v.from] += v.bytes;
    delta[v.to + 1] -= v.bytes;
  }
  let sum = 0;
  const live = steps.map((_, i) => (sum += delta[i]));
  return (func.plan = {steps, values, live});
}

function planFigures(func) {
  const p = after.data.plans.find((x) => x.function === func.name);
  return {arena: func.arena, bound: p ? p.bound : 0, total: p ? p.total : 0};
}

/* Round steps for an axis of bytes. */
function byteTicks(max) {
  let step = 1;
  while (max / step > 8) step *= 2;
  const ticks = [];
  for (let t = 0; t <= max; t += step) ticks.push(t);
  return ticks;
}

function drawMemory() {
  const func = memory.func, plan = planOf(func), fig = planFigures(func);
  const w = memory.box.clientWidth, h = memory.box.clientHeight;
  if (!w || !plan.steps.length) return memory.svg.replaceChildren();
  const [x0, x1] = memory.zoom || [0, plan.steps.length];
  const top = Math.max(fig.arena, 64) * 1.04;
  const X = (i) => MARGIN.left + (i - x0) / (x1 - x0) * (w - MARGIN.left - MARGIN.right);
  const Y = (b) => h - MARGIN.bottom - b / top * (h - MARGIN.top - MARGIN.bottom);
  memory.scale = {X, Y, x0, x1, w};
  const parts = [svg('clipPath', {id: 'plot'}, svg('rect', {x: MARGIN.left, y: 0, width: w - MARGIN.left - MARGIN.right, height: h - STRIP.bottom + 1}))];
  for (const t of byteTicks(top)) parts.push(svg('line.grid', {x1: MARGIN.left, x2: w - MARGIN.right, y1: Y(t), y2: Y(t)}), svg('text.tick', {x: MARGIN.left - 8, y: Y(t) + 4, 'text-anchor': 'end'}, bytesText(t)));
  const every = Math.max(1, Math.ceil((x1 - x0) / 12));
  for (let i = Math.ceil(x0 / every) * every; i < x1; i += every) {
    const s = plan.steps[Math.min(i, plan.steps.length - 1)];
    parts.push(svg('text.tick', {x: X(i), y: h - 14}, s.label));
  }
  const plot = svg('g', {'clip-path': 'url(#plot)'});
  for (const v of plan.values) if (v.to >= x0 - 1 && v.from <= x1) plot.append(bufferBox(v, X, Y));
  const most = Math.max(1, fig.bound, ...plan.live), S = (b) => h - STRIP.bottom - b / most * (STRIP.top - STRIP.bottom);
  plot.append(svg('path.live', {d: livePath(plan.live, X, S)}), svg('line.bound', {x1: 0, x2: w, y1: S(fig.bound), y2: S(fig.bound)}));
  parts.push(svg('text.tick', {x: MARGIN.left - 8, y: S(most) + 4, 'text-anchor': 'end'}, bytesText(most)), svg('text.tick', {x: MARGIN.left - 8, y: S(most / 2) + 4, 'text-anchor': 'end'}, 'alive'));
  parts.push(plot, ...levelLine('arena', fig.arena, Y, w), ...(fig.bound ? levelLine('bound', fig.bound, Y, w) : []));
  memory.svg.setAttribute('viewBox', '0 0 ' + w + ' ' + h);
  memory.svg.replaceChildren(...parts);
  markMemory();
}

function bufferBox(v, X, Y) {
  const x = X(v.from), width = Math.max(1, X(v.to + 1) - x), y = Y(v.offset + v.bytes), height = Math.max(0.7, Y(v.offset) - y);
  const g = svg('g.buffer.k-' + v.n.kind, {...tipOf(() => bufferTip(v)), onclick: () => !memory.dragged && select(v.n)},
    svg('rect', {x, y, width, height, rx: Math.min(2, height / 2)}));
  if (width > 60 && height > 15) g.append(svg('text.small', {x: x + 5, y: y + height / 2 + 4}, clip((v.n.name === v.n.op ? v.n.op : shortName(v.n)), 'small', width - 8)));
  g.node = v.n;
  return g;
}

/* The last part of the block and the name: "resnets.0 conv1". */
function shortName(n) {
  const part = blockParts(n.block).pop();
  return part && part !== n.name ? part + ' ' + n.name : n.name;
}

function bufferTip(v) {
  return [v.n.label + ' ' + v.n.name + (v.n.block ? ' · ' + v.n.block : ''), v.n.op + ' : ' + v.n.type, bytesText(v.bytes) + ' at arena+' + v.offset,
    'written by op ' + v.from + ', read last by op ' + v.to, v.taken ? 'its place is then written by ' + v.taken.n.label + ' ' + v.taken.n.name : ''];
}

/* An area over the axis. */
function livePath(live, X, Y) {
  return 'M' + X(0).toFixed(1) + ' ' + Y(0).toFixed(1) + live.map((b, i) => 'V' + Y(b).toFixed(1) + 'H' + X(i + 1).toFixed(1)).join('') + 'V' + Y(0).toFixed(1) + 'Z';
}

function levelLine(name, bytes, Y, w) {
  const text = (name === 'bound' ? 'lower bound ' : 'arena ') + bytesText(bytes);
  const dy = -5;
  return [svg('line.' + name, {x1: MARGIN.left, x2: w - MARGIN.right, y1: Y(bytes), y2: Y(bytes)}), svg('text.level.' + name, name === 'bound' ? {x: MARGIN.left + 4, y: Y(bytes) + dy} : {x: w - MARGIN.right - 4, y: Y(bytes) + dy, 'text-anchor': 'end'}, text)];
}

function markMemory() {
  const n = state.node;
  memory.svg.classList.toggle('has-selection', !!n && n.func === memory.func);
  for (const g of memory.svg.querySelectorAll('g.buffer')) {
    g.classList.toggle('selected', g.node === n);
    g.classList.toggle('near', !!n && (g.node.users.includes(n) || n.users.includes(g.node)));
  }
}

/* ---- zooming ---- */

function zoomMemory(factor, at) {
  const plan = planOf(memory.func), all = plan.steps.length, [x0, x1] = memory.zoom || [0, all];
  const size = Math.min(all, Math.max(8, (x1 - x0) * factor)), middle = at === undefined ? (x0 + x1) / 2 : at;
  const share = (middle - x0) / (x1 - x0);
  placeMemory(middle - share * size, size);
}

function placeMemory(from, size) {
  const all = planOf(memory.func).steps.length, x = Math.max(0, Math.min(all - size, from));
  memory.zoom = size >= all ? null : [x, x + size];
  drawMemory();
}

function addMemoryPanning(box) {
  let from = null;
  box.addEventListener('wheel', (e) => {
    e.preventDefault();
    const {x0, x1, w} = memory.scale, x = e.clientX - box.getBoundingClientRect().left;
    zoomMemory(Math.exp(e.deltaY * 0.0016), x0 + (x - MARGIN.left) / (w - MARGIN.left - MARGIN.right) * (x1 - x0));
  }, {passive: false});
  box.addEventListener('pointerdown', (e) => {
    from = {x: e.clientX, x0: memory.scale.x0};
    memory.dragged = false;
  });
  box.addEventListener('pointermove', (e) => {
    if (!from || !memory.zoom) return;
    const {x0, x1, w} = memory.scale;
    if (Math.abs(e.clientX - from.x) > 4) memory.dragged = true;
    if (memory.dragged) placeMemory(from.x0 - (e.clientX - from.x) / (w - MARGIN.left - MARGIN.right) * (x1 - x0), x1 - x0);
  });
  box.addEventListener('pointerup', () => (from = null));
  box.addEventListener('pointerleave', () => (from = null));
}

function memoryKey(e) {
  const plan = planOf(memory.func);
  if (e.key === '+' || e.key === '=') zoomMemory(0.7);
  else if (e.key === '-') zoomMemory(1.4);
  else if (e.key === '0') placeMemory(0, plan.steps.length);
  else if (e.key === 'ArrowRight' || e.key === 'ArrowLeft') {
    const nodes = plan.values.map((v) => v.n), at = nodes.indexOf(state.node);
    select(nodes[Math.max(0, Math.min(nodes.length - 1, at + (e.key === 'ArrowRight' ? 1 : -1)))]);
  } else return false;
  return true;
}

/* ---- the view ---- */

function memoryFunc() {
  const f = state.func.module === after ? state.func : otherEnd('after') || after.funcs[0];
  if (memory.func !== f) memory.zoom = null;
  memory.func = f;
  const fig = planFigures(f), over = fig.bound ? 100 * (fig.arena / fig.bound - 1) : 0;
  memory.tools.replaceChildren(choice('Function', funcChoices(true), funcKey(f), (key) => setFunc(funcByKey(key))),
    el('span.fact', null, 'arena ', el('b', null, bytesText(fig.arena))), el('span.fact', null, 'lower bound ', el('b', null, bytesText(fig.bound)), fig.bound ? ' (+' + over.toFixed(2) + ' %)' : ''),
    el('span.fact', null, 'one buffer a value ', el('b', null, bytesText(fig.total))), el('span.fact', null, plural(planOf(f).values.length, 'value')), el('span.grow'),
    button('−', 'zoom out (-)', () => zoomMemory(1.4)), button('Fit', 'all ops (0)', () => placeMemory(0, planOf(f).steps.length)), button('+', 'zoom in (+)', () => zoomMemory(0.7)));
  drawMemory();
}

if (after && after.level === 'placed') addView({
  name: 'memory', title: 'Memory',
  make() {
    memory.svg = svg('svg', {role: 'img', 'aria-label': 'Values in the arena over the ops of the function'});
    memory.box = el('div.chart', {tabindex: 0, role: 'application', 'aria-label': 'Memory plan; left and right arrows go through values, + and - zoom'}, memory.svg);
    memory.tools = el('div.tools');
    addMemoryPanning(memory.box);
    new ResizeObserver(() => memory.func && drawMemory()).observe(memory.box);
    return [memory.tools, memory.box, el('div.legend', {'aria-hidden': 'true'}, ...legend().childNodes, el('span', null, el('i.line-live'), 'bytes alive'), el('span', null, el('i.line-bound'), 'lower bound: the most bytes alive at one op'))];
  },
  shown() {
    memoryFunc();
  },
  func: memoryFunc,
  selected: () => memory.func && markMemory(),
  reveal(what) {
    const n = what && what.op ? what : null, plan = planOf(memory.func);
    if (n && n.func === memory.func && memory.zoom) placeMemory(plan.steps.indexOf(n) - 20, Math.min(40, plan.steps.length));
  },
  key: memoryKey,
});
