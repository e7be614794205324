'use strict';
/* What was compiled to what: totals, functions, where the work is block by block, passes with their times. */

function card(title, value, note) {
  return el('div.card', null, el('span', null, title), el('b', null, value), el('small', null, note || ''));
}

function countNodes(module) {
  return module ? module.funcs.reduce((s, f) => s + f.working.filter((n) => n.op !== 'input').length, 0) : 0;
}

function summaryCards() {
  const main = firstFunc(), arena = Math.max(0, ...after.funcs.map((f) => f.arena));
  const big = after.funcs.find((f) => f.arena === arena);
  const kernels = new Set(after.funcs.flatMap((f) => f.working.map((n) => n.kernel).filter(Boolean)));
  const calls = after.funcs.reduce((s, f) => s + f.working.filter((n) => n.kernel).length, 0);
  const passes = after.data.passes, time = passes.reduce((s, p) => s + p.ms, 0);
  return el('div.cards', null,
    main && card('Work', flopsText(main.totals.flops), 'a call of ' + main.name),
    card('Weights', bytesText(after.data.packed_weights_bytes), countText(raw.parameters) + ' parameters, packed' + (raw.random_weights ? ', random' : '')),
    card('Arena', bytesText(arena), big ? 'the largest, of ' + big.name : ''),
    card('Ops', countText(countNodes(after)), before ? 'of ' + countText(countNodes(before)) + ' described' : ''),
    card('Kernels', String(kernels.size), countText(calls) + ' bound nodes, ' + (after.data.target || '')),
    card('Passes', (time / 1000).toFixed(2) + ' s', passes.length + ' ran, ' + countText(raw.decisions.length) + ' decisions'));
}

/* A table; columns are [title, class]; rows are arrays of texts or elements. */
function table(caption, columns, rows) {
  return el('table', null, el('caption.unseen', null, caption),
    el('thead', null, el('tr', null, columns.map(([t, c]) => el('th' + (c ? '.' + c : ''), {scope: 'col'}, t)))),
    el('tbody', null, rows.map((cells) => el('tr', null, cells.map((c, i) => el('td' + (columns[i][1] ? '.' + columns[i][1] : ''), null, c))))));
}

function functionTable() {
  const plans = new Map(after.data.plans.map((p) => [p.function, p]));
  const most = Math.max(1, ...after.funcs.map((f) => f.totals.flops));
  return table('Functions of the program', [['function'], ['stage'], ['ops', 'num'], ['FLOPs', 'num'], ['', 'bar'], ['weights read', 'num'], ['arena', 'num'], ['lower bound', 'num'], ['scratch a thread', 'num']],
    after.funcs.map((f) => {
      const p = plans.get(f.name);
      return [el('button.node-link', {type: 'button', onclick: () => {
        setFunc(f);
        showView('graph');
      }}, f.name), stageOf(f), countText(f.totals.ops), flopsText(f.totals.flops), meter(f.totals.flops / most), bytesText(f.totals.weights),
      bytesText(f.arena), p ? bytesText(p.bound) + (p.bound ? ' (+' + (100 * (p.arena_bytes / p.bound - 1)).toFixed(1) + ' %)' : '') : '–', bytesText(f.scratch)];
    }));
}

function stageOf(f) {
  const freqs = f.working.filter((n) => n.op === 'input').map((n) => n.freq);
  return ['step', 'schedule', 'prompt', 'program'].find((s) => freqs.includes(s)) || '';
}

/* ---- where the work is ---- */

/* Rows of a tree that opens: blocks with shares of the function's work, weights and moved bytes. */
function blockTree(func) {
  const body = el('div.treegrid', {role: 'treegrid', 'aria-label': 'Blocks of ' + func.name});
  const all = func.totals;
  const row = (b, depth) => {
    const t = b.totals, leaf = !b.children.length && !b.ops.length;
    const r = el('div.tree-row', {role: 'row', 'aria-level': depth, 'aria-expanded': leaf ? null : 'false', tabindex: -1},
      el('span.tree-name', {role: 'gridcell'}, el('i.twist', {'aria-hidden': 'true'}, leaf ? '' : '▸'), el('b', null, b.name), el('small', null, ' ' + plural(t.ops, 'op'))),
      el('span.num', {role: 'gridcell'}, flopsText(t.flops)), el('span', {role: 'gridcell'}, meter(t.flops / all.flops), ' ', percentText(t.flops, all.flops)),
      el('span.num', {role: 'gridcell'}, bytesText(t.weights)), el('span', {role: 'gridcell'}, meter(all.weights ? t.weights / all.weights : 0, 'norm')),
      el('span.num', {role: 'gridcell'}, bytesText(t.moved)), el('span', {role: 'gridcell'}, meter(all.moved ? t.moved / all.moved : 0, 'attention')),
      el('span', {role: 'gridcell'}, el('button.link', {type: 'button', tabindex: -1, onclick: (e) => {
        e.stopPropagation();
        goTo('graph', b);
      }}, 'graph')));
    r.firstChild.style.paddingLeft = (depth - 1) * 18 + 'px';
    r.item = b;
    r.addEventListener('click', () => flip(r, depth));
    return r;
  };
  const leafRow = (n, depth) => {
    const r = el('div.tree-row.leaf', {role: 'row', 'aria-level': depth, tabindex: -1},
      el('span.tree-name', {role: 'gridcell'}, el('i.twist', {'aria-hidden': 'true'}), el('i.dot.k-' + n.kind), el('b', null, n.name), el('small', null, ' ' + n.label + ' ' + n.op + ' ' + n.type)),
      el('span.num', {role: 'gridcell'}, n.flops ? flopsText(n.flops) : ''), el('span', {role: 'gridcell'}, meter(n.flops / all.flops), ' ', percentText(n.flops, all.flops)),
      el('span.num', {role: 'gridcell'}, n.weights ? bytesText(n.weights) : ''), el('span', {role: 'gridcell'}, meter(all.weights ? n.weights / all.weights : 0, 'norm')),
      el('span.num', {role: 'gridcell'}, bytesText(n.moved)), el('span', {role: 'gridcell'}, meter(all.moved ? n.moved / all.moved : 0, 'attention')), el('span', {role: 'gridcell'}, n.kernel));
    r.firstChild.style.paddingLeft = (depth - 1) * 18 + 'px';
    r.item = n;
    r.addEventListener('click', () => select(n, {follow: true}));
    return r;
  };
  const flip = (r, depth) => {
    const open = r.getAttribute('aria-expanded') === 'true';
    r.setAttribute('aria-expanded', String(!open));
    r.querySelector('.twist').textContent = open ? '▸' : '▾';
    if (open) {
      while (r.nextSibling && Number(r.nextSibling.getAttribute('aria-level')) > depth) r.nextSibling.remove();
    } else {
      const inside = [...r.item.children, ...r.item.ops.filter((n) => n.op !== 'input')];
      r.after(...inside.sort((a, b) => (a.op ? a.id : a.first) - (b.op ? b.id : b.first)).map((x) => x.op ? leafRow(x, depth + 1) : row(x, depth + 1)));
    }
  };
  body.append(el('div.tree-head', {role: 'row'}, ['block', 'FLOPs', '', 'weights', '', 'moved', '', ''].map((t, i) => el('span' + (i % 2 && i < 6 ? '.num' : ''), {role: 'columnheader'}, t))));
  const root = row(func.tree, 1);
  body.append(root);
  flip(root, 1);
  const first = [...body.querySelectorAll('.tree-row')];
  first[0].tabIndex = 0;
  body.addEventListener('keydown', (e) => treeKey(e, body, flip));
  return body;
}

function treeKey(e, body, flip) {
  const rows = [...body.querySelectorAll('.tree-row')], at = rows.indexOf(document.activeElement);
  if (at < 0) return;
  const level = Number(rows[at].getAttribute('aria-level')), open = rows[at].getAttribute('aria-expanded');
  const go = (i) => rows[i] && rows[i].focus();
  if (e.key === 'ArrowDown') go(at + 1);
  else if (e.key === 'ArrowUp') go(at - 1);
  else if (e.key === 'ArrowRight' && open === 'false') flip(rows[at], level);
  else if (e.key === 'ArrowLeft' && open === 'true') flip(rows[at], level);
  else if (e.key === 'Enter') rows[at].click();
  else return;
  e.preventDefault();
  e.stopPropagation();
}

/* ---- passes ---- */

function passTable() {
  const passes = after.data.passes, most = Math.max(0.001, ...passes.map((p) => p.ms));
  return table('Passes', [['pass'], ['what it does', 'wide'], ['ms', 'num'], ['', 'bar'], ['nodes', 'num'], ['matched', 'num'], ['refused', 'num']],
    passes.map((p) => {
      const from = p.nodes_before, to = p.nodes_after;
      return [p.matched + p.refused && viewOf('fusion') ? el('button.node-link', {type: 'button', onclick: () => showDecisions(p.pass)}, p.pass) : p.pass,
        el('span.muted', null, p.summary || ''), p.ms.toFixed(1), meter(p.ms / most), from === to ? (p.changed ? countText(to) : '–') : countText(from) + ' → ' + countText(to), p.matched || '', p.refused || ''];
    }));
}

if (after) addView({
  name: 'summary', title: 'Summary',
  make() {
    this.trees = el('div');
    const pick = el('div.tools.inline');
    const parts = [el('div.page', null, summaryCards(),
      el('h2', null, 'Functions'), el('div.scroll', null, functionTable()),
      el('h2', null, 'Where the work is'), pick, this.trees,
      el('h2', null, 'Passes'), el('div.scroll', null, passTable()),
      raw.ignored ? el('p.muted', null, 'Left out of the program: ' + raw.ignored) : '')];
    this.pick = pick;
    this.func();
    return parts;
  },
  func() {
    const f = state.func.module === after ? state.func : otherEnd('after') || after.funcs[0];
    this.pick.replaceChildren(choice('Function', funcChoices(true), funcKey(f), (key) => setFunc(funcByKey(key))));
    this.trees.replaceChildren(blockTree(f));
  },
});
