'use strict';
/* What each pass matched and refused, and why; filterable, with the way to the node. */

const fusion = {pass: '', matched: true, refused: true, text: ''};

function makeDecisions() {
  return raw.decisions.map((d) => ({block: '', file: '', path: '', reason: '', costs: '', ...d, func: d.function, refused: !d.matched}));
}

/* The node of today's IR that a decision was about: by what stands in its text, among the ops of its block. */
function nodeOfDecision(d) {
  const [, op, type] = /^(?:%\S+ = )?(\S+)[^:]* : (\S+)/.exec(d.node.replace(/^%\S+ = /, '')) || [];
  const place = (f) => f && f.working.filter((n) => n.block === d.block);
  const stages = after.funcs.filter((f) => f.name === d.func || f.network === d.func);
  for (const f of [...stages, before && (before.func(d.func) || before.func(d.func.replace(/\.\w+$/, '')))]) {
    const near = place(f);
    if (!near || !near.length) continue;
    return near.find((n) => n.op === op && n.type.replace(/:c16$/, '') === (type || '').replace(/:c16$/, '')) || near.find((n) => n.op === op) || near.find((n) => n.flops) || near[0];
  }
  return null;
}

function fusionFilter() {
  const words = fusion.text.toLowerCase().split(/\s+/).filter(Boolean);
  fusion.rows = fusion.all.filter((d) => (!fusion.pass || d.pass === fusion.pass) && (d.refused ? fusion.refused : fusion.matched) &&
    (!words.length || matches((d.what + ' ' + d.reason + ' ' + d.block + ' ' + d.func + ' ' + d.node + ' ' + d.pass).toLowerCase(), words)));
  fusion.list.setCount(fusion.rows.length);
  fusion.count.textContent = plural(fusion.rows.length, 'decision');
  const advice = fusion.pass && fusion.refused ? adviceOf(fusion.pass) : '';
  fusion.advice.textContent = advice && 'to match: ' + advice;
  fusion.advice.hidden = !advice;
  for (const b of fusion.passes.children) b.setAttribute('aria-pressed', String(b.pass === fusion.pass));
}

/* What would have to be otherwise for a pass to refuse less; said for passes that refused something. */
function adviceOf(pass) {
  const p = after.data.passes.find((x) => x.pass === pass);
  return (p && p.advice) || '';
}

function decisionRow(i) {
  const d = fusion.rows[i];
  const row = el('div.decision' + (d.refused ? '.refused' : ''), {role: 'option', tabindex: -1, title: d.node, onclick: () => openDecision(d)},
    el('span.verdict', {'aria-label': d.refused ? 'refused' : 'matched'}, d.refused ? '✕' : '✓'),
    el('span.d-main', null, el('b', null, d.what), d.refused ? el('span.reason', null, ' — ' + d.reason) : ''),
    el('span.d-pass', null, d.pass), el('span.d-where', null, d.func + (d.block ? ' · ' + d.block : '')),
    el('span.d-file', {title: d.path}, d.file ? baseName(d.file) + ':' + d.line + (d.path ? ' ' + d.path : '') : ''));
  row.classList.toggle('selected', fusion.open === d);
  return row;
}

function openDecision(d) {
  fusion.open = d;
  fusion.list.redraw();
  const n = nodeOfDecision(d);
  if (n) select(n, {follow: true});
  const pane = byId('details');
  pane.hidden = false;
  const note = chapter(d.refused ? 'Refused by ' + d.pass : 'Matched by ' + d.pass, el('p', null, el('b', null, d.what)), d.reason ? el('p.reason', null, d.reason) : '', d.costs ? el('p', null, d.costs) : '',
    d.refused && adviceOf(d.pass) ? el('p.advice', null, 'to match: ' + adviceOf(d.pass)) : '',
    el('pre.snippet', null, d.node), facts([['function', d.func], ['block', d.block], ['file', d.file ? d.file + ':' + d.line + ':' + d.col : ''], ['JSON path', d.path]]));
  note.classList.add('decision-note');
  if (n) pane.querySelector('.sub').after(note);
  else pane.replaceChildren(note);
}

/* From the summary: the decisions of one pass. */
function showDecisions(pass) {
  showView('fusion');
  fusion.pass = pass;
  fusionFilter();
}

function passButtons() {
  const counts = new Map();
  for (const d of fusion.all) {
    const c = counts.get(d.pass) || [0, 0];
    c[d.refused ? 1 : 0]++;
    counts.set(d.pass, c);
  }
  const of = (pass, [hit, miss]) => {
    const b = el('button.pass', {type: 'button', onclick: () => {
      fusion.pass = pass;
      fusionFilter();
    }}, el('span', null, pass || 'all passes'), el('i.split', {'aria-hidden': 'true'}, el('i.hit'), el('i.miss')), el('small', null, hit + ' matched, ' + miss + ' refused'));
    b.pass = pass;
    const [a, z] = b.querySelector('.split').children;
    a.style.flexGrow = hit;
    z.style.flexGrow = miss;
    return b;
  };
  const all = [...counts.values()].reduce((s, c) => [s[0] + c[0], s[1] + c[1]], [0, 0]);
  const order = after.data.passes.map((p) => p.pass).filter((p) => counts.has(p));
  return [of('', all), ...[...new Set([...order, ...counts.keys()])].map((p) => of(p, counts.get(p)))];
}

function fusionKey(e) {
  const step = {ArrowDown: 1, ArrowUp: -1}[e.key];
  if (!step || !fusion.rows.length) return false;
  const at = fusion.rows.indexOf(fusion.open), next = Math.max(0, Math.min(fusion.rows.length - 1, at + step));
  openDecision(fusion.rows[next]);
  fusion.list.reveal(next);
  return true;
}

if (after && raw.decisions.length) addView({
  name: 'fusion', title: 'Fusion',
  make() {
    fusion.all = makeDecisions();
    fusion.passes = el('nav.passes', {'aria-label': 'Passes'}, passButtons());
    fusion.list = new LongList({tabindex: 0, role: 'listbox', 'aria-label': 'Decisions of the passes'}, 44, decisionRow);
    fusion.count = el('span.muted', {role: 'status'});
    fusion.advice = el('p.advice', {hidden: true});
    const check = (text, key) => el('label.check', null, el('input', {type: 'checkbox', checked: fusion[key], onchange: (e) => {
      fusion[key] = e.target.checked;
      fusionFilter();
    }}), text);
    const filter = el('input', {type: 'search', placeholder: 'filter by reason, block, op', 'aria-label': 'Filter decisions', oninput: (e) => {
      fusion.text = e.target.value;
      fusionFilter();
    }});
    return [el('div.tools', null, filter, check('matched', 'matched'), check('refused', 'refused'), el('span.grow'), fusion.count), fusion.advice, el('div.columns', null, fusion.passes, fusion.list.box)];
  },
  shown: fusionFilter,
  key: fusionKey,
});
