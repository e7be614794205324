'use strict';
/* The pane on the right: everything known of the selected node or block. */

function showDetails() {
  const pane = byId('details');
  const what = state.node || state.block;
  pane.hidden = !what;
  if (!what) return;
  pane.replaceChildren(
    el('button.icon.close', {type: 'button', 'aria-label': 'Close details', onclick: () => select(null)}, '×'),
    ...(state.node ? nodeDetails(state.node) : blockDetails(state.block)));
  pane.scrollTop = 0;
}

/* Rows of [name, text or elements]; empty ones are left out. */
function facts(rows) {
  return el('dl.facts', null, rows.filter(([, v]) => v !== '' && v !== null && v !== undefined && !(Array.isArray(v) && !v.length))
    .flatMap(([k, v]) => [el('dt', null, k), el('dd', null, v)]));
}

function chapter(title, ...content) {
  return el('section', null, el('h3', null, title), content);
}

/* A button that selects a node. */
function nodeLink(n, withFunc) {
  const b = el('button.node-link', {type: 'button', title: n.label + ' ' + n.op + ' : ' + n.type, onclick: () => select(n, {follow: true})},
    el('i.dot.k-' + n.kind), el('b', null, n.op === 'weight' ? n.label : n.label + ' ' + n.name), n.name === n.op ? '' : ' ' + n.op);
  if (withFunc) b.append(el('small', null, ' in ' + n.func.name));
  return b;
}

function goButtons(what) {
  const go = (view, text) => viewOf(view) && el('button', {type: 'button', onclick: () => goTo(view, what)}, text);
  const placed = what.func.module.level === 'placed';
  return el('div.go', null, go('graph', 'Graph'), go('ir', 'IR'), placed && go('memory', 'Memory'));
}

function nodeDetails(n) {
  const o = n.origin;
  const place = n.place ? n.place + ' + ' + (n.place === 'arena' || n.place === 'weights' ? bytesText(n.offset) : n.offset) : '';
  return [
    el('p.where', null, n.func.name, ' · ', n.func.module.level, ' IR'),
    el('h2', null, el('i.dot.k-' + n.kind), n.name),
    el('p.sub', null, n.info.summary),
    goButtons(n),
    facts([['id', n.label], ['op', n.op], ['result', n.type], ['bytes', n.view ? 'a view' : bytesText(n.bytes)],
      ['FLOPs', n.flops ? flopsText(n.flops) : ''], ['weights', n.weights ? bytesText(n.weights) : ''],
      ['moved', n.moved ? bytesText(n.moved) : ''], ['FLOP/byte', n.flops ? fixed(n.flops / (n.moved + n.weights)) : ''],
      ['form', n.form], ['precision', n.precision], ['signal to noise', n.signal === undefined ? '' : n.signal.toFixed(1) + ' dB'],
      ['place', place], ['block', n.block ? el('button.node-link', {type: 'button', onclick: () => select(findBlock(n.func.tree, n.block), {follow: true})}, n.block) : '']]),
    profileDetails(n),
    kernelDetails(n),
    n.attrs ? chapter('Attributes', pairs(n.attrs)) : '',
    operandDetails(n),
    n.users.length ? chapter('Used by', el('ul.plain', null, n.users.map((u) => el('li', null, nodeLink(u))))) : '',
    linkDetails(n),
    o.file || n.block ? chapter('Origin', facts([['file', o.file ? o.file + ':' + o.line + ':' + o.col : ''], ['JSON path', o.path], ['block', n.block]])) : '',
  ];
}

/* "a=1, b=[2,3], c=\"x,y\"" as a table. */
function pairs(text) {
  const found = text.match(/[A-Za-z_]\w*=(?:\[[^\]]*\]|"(?:[^"\\]|\\.)*"|[^,]*)/g) || [];
  return el('div.pairs', null, found.map((p) => {
    const at = p.indexOf('=');
    return el('span', null, el('i', null, p.slice(0, at)), el('b', null, p.slice(at + 1)));
  }));
}

function kernelDetails(n) {
  if (!n.kernel) return '';
  return chapter('Kernel', facts([['kernel', n.kernel], ['tasks', countText(n.tasks)], ['scratch', n.scratch ? bytesText(n.scratch) + ' a thread' : '']]), pairs(n.params));
}

function operandDetails(n) {
  const list = n.operands.map((id, k) => {
    if (id < 0) return '';
    const o = n.func.nodes[id];
    return el('li', null, el('small', null, (n.info.operands[k] || String(k)) + ' '), nodeLink(o), el('small', null, ' ' + o.type));
  }).filter(Boolean);
  const weights = weightsOf(n).map((w) => n.func.module.weights.get(w));
  return list.length ? chapter('Operands', el('ul.plain', null, list),
    weights.length ? el('ul.plain.weights', null, weights.map((w) => el('li', null, el('b', null, w.name), el('small', null, ' ' + w.type + (sourceOfWeight(w) ? ' · ' + sourceOfWeight(w) : ''))))) : '') : '';
}

function linkDetails(n) {
  const others = linked(n);
  if (!others.length) return '';
  const title = n.func.module === before ? 'Became' : 'Came from';
  return chapter(title, el('ul.plain', null, others.slice(0, 40).map((o) => el('li', null, nodeLink(o, true)))));
}

function blockDetails(b) {
  const kinds = new Map();
  for (const n of b.nodes) if (n.op !== 'input') kinds.set(n.op, (kinds.get(n.op) || 0) + 1);
  const t = b.totals, all = b.func.totals;
  const heavy = [...b.nodes].sort((x, y) => y.flops - x.flops).slice(0, 5).filter((n) => n.flops);
  return [
    el('p.where', null, b.func.name, ' · ', b.func.module.level, ' IR'),
    el('h2', null, b.path || b.name),
    el('p.sub', null, 'block'),
    goButtons(b),
    facts([['ops', countText(t.ops)], ['FLOPs', flopsText(t.flops) + ' (' + percentText(t.flops, all.flops) + ')'],
      ['weights', bytesText(t.weights) + ' (' + percentText(t.weights, all.weights) + ')'], ['moved', bytesText(t.moved)],
      ['blocks inside', b.children.length ? String(b.children.length) : '']]),
    chapter('Ops', el('ul.plain', null, [...kinds].sort((x, y) => y[1] - x[1]).map(([op, n]) => el('li', null, el('i.dot.k-' + kindOf(op)), op, el('small', null, ' × ' + n))))),
    heavy.length ? chapter('Most work', el('ul.plain', null, heavy.map((n) => el('li', null, nodeLink(n), el('small', null, ' ' + flopsText(n.flops)))))) : '',
  ];
}
