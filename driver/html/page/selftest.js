'use strict';
/* Starts the page. With the address #selftest it then tries itself and writes what it found into the document's
 * attribute data-selftest, for tests that can only dump the DOM. */

const faults = [];
addEventListener('error', (e) => faults.push('error: ' + e.message));
addEventListener('securitypolicyviolation', (e) => faults.push('policy: ' + e.violatedDirective + ' ' + e.blockedURI));

function expect(what, condition) {
  if (!condition) faults.push(what);
}

function press(key) {
  (document.activeElement || document).dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true, cancelable: true}));
}

/* Every view draws; search finds; a block opens; links go both ways; keys work; no text became markup. */
function selftest() {
  for (const v of views) {
    showView(v.name);
    expect(v.name + ' is empty', v.panel.childElementCount > 0);
  }
  if (!after) return {faults, views: views.map((v) => v.name), ms: Number(document.documentElement.dataset.ready)};
  const func = state.func, block = func.tree.children[0];
  const word = block ? block.path : func.working[0].op;
  byId('search').value = word;
  byId('search').dispatchEvent(new Event('input'));
  expect('search finds nothing for ' + word, byId('hits').querySelectorAll('li:not(.none)').length > 0);
  byId('search').value = '';
  byId('search').dispatchEvent(new Event('input'));
  showView('graph');
  const boxes = graph.drawn.length;
  expect('the graph is empty', boxes > 0);
  if (block) {
    toggle(block);
    expect('opening a block draws nothing', graph.drawn.length > boxes);
  }
  const node = func.working.find((n) => n.flops && linked(n).length);
  if (before) expect('no node is linked to its source', node);
  if (node) select(node);
  expect('details stay hidden', !node || !byId('details').hidden);
  testKeys(func);
  testAddresses(func);
  testAdvice();
  expect('markup from data', !document.querySelector('main script, main img, aside script, aside img'));
  return {faults, views: views.map((v) => v.name), ms: Number(document.documentElement.dataset.ready), boxes: graph.drawn.length, alerts: window.hostile || 0};
}

/* Addresses as typed, as the page writes them, and as earlier pages wrote them. */
function testAddresses(func) {
  const node = func.working.find((n) => n.flops) || func.working[0];
  const name = encodeURIComponent(func.name), side = func.module.side;
  for (const label of [node.label, encodeURIComponent(node.label)]) {
    select(null);
    if (label !== node.label && func.byLabel(label)) continue; /* a node of its own */
    history.replaceState(null, '', ['#graph', side, name, label].join('/'));
    readHash();
    expect('the address of ' + label + ' selects nothing', state.node === node);
    expect('the address written for ' + node.label + ' is another', location.hash.endsWith('/' + node.label));
  }
  select(null);
}

function testAdvice() {
  const d = raw.decisions.find((x) => !x.matched && adviceOf(x.pass));
  if (!d || !viewOf('fusion')) return;
  showDecisions(d.pass);
  expect('no advice for ' + d.pass, !fusion.advice.hidden && fusion.advice.textContent.startsWith('to match: '));
  showDecisions('');
  expect('advice for all passes at once', fusion.advice.hidden);
}

function testKeys(func) {
  press('/');
  expect('/ does not search', document.activeElement === byId('search'));
  press('Escape');
  expect('Esc does not leave the search', document.activeElement !== byId('search'));
  select(null);
  press('ArrowDown');
  const first = state.node || state.block;
  expect('arrows select nothing', first);
  press('ArrowDown');
  expect('arrows do not move', graph.drawn.filter((d) => d.what).length < 2 || first !== (state.node || state.block));
  const closed = func.tree.children.find((b) => !openBlocks(func).has(b));
  if (closed) select(closed);
  if (closed) press('Enter');
  expect('Enter opens nothing', !closed || openBlocks(func).has(closed));
  press('Escape');
  expect('Esc keeps the selection', !state.node && !state.block);
  press('2');
  expect('2 does not switch views', state.view === views[1].name);
  const theme = document.documentElement.dataset.theme;
  press('d');
  expect('d does not switch the theme', document.documentElement.dataset.theme !== theme);
}

start();
if (location.hash === '#selftest') document.documentElement.dataset.selftest = JSON.stringify(selftest());
