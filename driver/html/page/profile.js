'use strict';
/* The trace of a run: its ops with their times and roofs, tied to nodes; the table of ops by time. */

const EVENT_KINDS = ['run', 'phase', 'step', 'function', 'op', 'wait', 'host'];
const trace = raw.trace ? readTrace(raw.trace) : null;

function readTrace(t) {
  const functions = t.functions.map(([name, batch, ops]) => ({name, batch, ops: ops.map((o) => readOp(o, name))}));
  const ops = functions.flatMap((f) => f.ops);
  const total = ops.reduce((s, o) => s + o.work + o.wait, 0);
  const result = {...t, functions, ops, total, tracks: t.tracks.map((k) => readTrack(k, functions))};
  for (const o of ops) rate(o, result);
  return result;
}

function readOp([op, kernel, block, result, node, flops, bytes, weights, calls, work, wait, min, median, p99, max, peak], func) {
  return {func, op, kernel, block, result, label: '%' + node, flops, bytes, weights, calls,
    work, wait, min, median, p99, max, peak, kind: kindOf(op), node: after ? findNode(func, '%' + node) : null};
}

function findNode(func, label) {
  const f = after.func(func);
  const n = f ? f.byLabel(label) : null;
  return n || null;
}

/* Rates of all calls together; how much of the roof over its intensity an op reaches. */
function rate(o, t) {
  const moved = o.bytes + o.weights, seconds = o.work || 1e-12;
  o.gflops = o.flops * o.calls / seconds / 1e9;
  o.gbs = moved * o.calls / seconds / 1e9;
  o.intensity = moved ? o.flops / moved : 0;
  const peak = o.peak, roof = peak && t.gbs ? Math.min(peak, t.gbs * o.intensity) : 0;
  o.ofRoof = peak && t.gbs ? Math.max(o.gflops / peak, o.gbs / t.gbs) : 0;
  o.roof = roof;
  o.time = o.work + o.wait;
  if (!o.node) return;
  o.node.time = (o.node.time || 0) + o.work / Math.max(1, o.calls) * 1e9;
  o.node.measured = o;
}

/* Columns to events; names of ops and functions come from the tables. */
function readTrack(k, functions) {
  let at = 0;
  const events = k.begin.map((delta, i) => {
    at += delta;
    const f = k.func[i] >= 0 ? functions[k.func[i]] : null, op = f && k.op[i] >= 0 ? f.ops[k.op[i]] : null;
    return {begin: at, duration: k.duration[i], depth: k.depth[i], kind: EVENT_KINDS[k.kind[i]], op,
      text: k.text[i] || (op ? op.op : f ? f.name : '')};
  });
  return {name: k.name, events, depth: events.reduce((m, e) => Math.max(m, e.depth), 0) + 1};
}

if (trace) {
  graph.heats = [['time', 'time'], ...HEATS];
  graph.heat = 'time';
}

/* In the details of a node. */
function profileDetails(n) {
  const o = n.measured;
  if (!o) return '';
  return chapter('Measured', facts([['calls', countText(o.calls)], ['a call', timeText(o.work / o.calls * 1e9)], ['all calls', timeText(o.work * 1e9) + ' (' + percentText(o.time, trace.total) + ')'],
    ['waiting', timeText(o.wait * 1e9)], ['GFLOP/s', fixed(o.gflops)], ['GB/s', fixed(o.gbs)], ['of the roof', o.ofRoof ? (100 * o.ofRoof).toFixed(1) + ' %' : '']]),
  meter(o.ofRoof, o.kind));
}

/* ---- ops by time ---- */

const opTable = {group: 'op', text: '', sort: 'time'};

function groupKey(o) {
  if (opTable.group === 'kind') return o.op;
  if (opTable.group === 'kernel') return o.kernel;
  if (opTable.group === 'block') return o.func + ' ' + blockParts(o.block).slice(0, 2).join('.');
  return o.func + ' ' + o.label;
}

/* Sums of what has the same key, most time first. */
function groupOps(ops) {
  const groups = new Map();
  for (const o of ops) {
    const key = groupKey(o);
    let g = groups.get(key);
    if (!g) groups.set(key, g = {key, first: o, ops: 0, calls: 0, work: 0, wait: 0, flops: 0, moved: 0, kind: o.kind, longest: 0});
    if (o.work > g.longest) [g.longest, g.kind] = [o.work, o.kind];
    g.ops++;
    g.calls += o.calls;
    g.work += o.work;
    g.wait += o.wait;
    g.flops += o.flops * o.calls;
    g.least = (g.least || 0) + o.flops * o.calls / 1e9 / (o.peak || 1e12);
    g.moved += (o.bytes + o.weights) * o.calls;
  }
  const list = [...groups.values()];
  for (const g of list) {
    g.time = g.work + g.wait;
    g.gflops = g.flops / (g.work || 1e-12) / 1e9;
    g.gbs = g.moved / (g.work || 1e-12) / 1e9;
    g.ofRoof = trace.gflops && trace.gbs ? Math.max(g.least / (g.work || 1e-12), g.gbs / trace.gbs) : 0;
    g.intensity = g.moved ? g.flops / g.moved : 0;
  }
  return list.sort((a, b) => b[opTable.sort] - a[opTable.sort]);
}

function opRow(i) {
  const g = opTable.rows[i], o = g.first, one = opTable.group === 'op';
  const cell = (text, cls) => el('span' + (cls ? '.' + cls : ''), {role: 'gridcell'}, text);
  const row = el('div.op-row', {role: 'row', onclick: () => one && o.node && select(o.node, {follow: true})},
    cell([el('i.dot.k-' + g.kind), el('b', null, one ? o.label + ' ' + (o.node ? o.node.name : o.op) : g.key || '(top)'), el('small', null, one ? ' ' + o.op + ' · ' + o.block : '')], 'op-name'),
    cell(one ? o.func : plural(g.ops, 'op'), 'muted'), cell(countText(g.calls), 'num'), cell((g.time * 1e3).toFixed(2), 'num'),
    cell([meter(g.time / opTable.most, g.kind), ' ', percentText(g.time, trace.total)]), cell(g.wait > 0 ? (100 * g.wait / g.time).toFixed(0) + ' %' : '', 'num'),
    cell(g.flops ? fixed(g.gflops) : '', 'num'), cell(g.moved ? fixed(g.gbs) : '', 'num'), cell(g.ofRoof ? [meter(g.ofRoof, g.kind), ' ' + (100 * g.ofRoof).toFixed(0) + ' %'] : ''));
  row.classList.toggle('selected', one && state.node !== null && o.node === state.node);
  return row;
}

function fillOps() {
  const words = opTable.text.toLowerCase().split(/\s+/).filter(Boolean);
  const ops = trace.ops.filter((o) => o.calls && (!words.length || matches([o.op, o.kernel, o.block, o.func, o.label, o.result].join(' ').toLowerCase(), words)));
  opTable.rows = groupOps(ops);
  opTable.most = Math.max(1e-12, ...opTable.rows.map((g) => g.time));
  opTable.list.setCount(opTable.rows.length);
  opTable.count.textContent = plural(opTable.rows.length, 'row');
}

const OP_COLUMNS = [['op'], ['function'], ['calls', 'num'], ['ms', 'num'], ['share of the time'], ['waiting', 'num'], ['GFLOP/s', 'num'], ['GB/s', 'num'], ['of the roof']];

if (trace) addView({
  name: 'ops', title: 'Ops',
  make() {
    opTable.list = new LongList({tabindex: 0, role: 'rowgroup', 'aria-label': 'Ops by time'}, 27, opRow);
    opTable.count = el('span.muted', {role: 'status'});
    const filter = el('input', {type: 'search', placeholder: 'filter by op, kernel, block', 'aria-label': 'Filter ops', oninput: (e) => {
      opTable.text = e.target.value;
      fillOps();
    }});
    return [el('div.tools', null, segments('Group by', [['op', 'ops'], ['kind', 'kinds'], ['kernel', 'kernels'], ['block', 'blocks']], 'op', (g) => {
      opTable.group = g;
      fillOps();
    }), filter, choice('Sort by', [['time', 'time'], ['wait', 'waiting'], ['gflops', 'GFLOP/s'], ['calls', 'calls']], 'time', (s) => {
      opTable.sort = s;
      fillOps();
    }), el('span.grow'), opTable.count),
    el('div.op-row.op-head', {role: 'row'}, OP_COLUMNS.map(([t, c]) => el('span' + (c ? '.' + c : ''), {role: 'columnheader'}, t))), opTable.list.box];
  },
  shown: fillOps,
  selected: () => opTable.list.redraw(),
});
