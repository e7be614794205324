'use strict';
/* Starts the page. With the address #selftest it then tries itself and writes what it found into the document's
 * attribute data-selftest, for tests that can only dump the DOM. */

const faults = [];
addEventListener('error', (e) => faults.push('error: ' + e.message));
addEventListener('securitypolicyviolation', (e) => faults.push('policy: ' + e.violatedDirective + ' ' + e.blockedURI));

function expect(what, condition) {
  if (!condition) faults.push(what);
}

/* Every view draws; search finds; a block opens; links go both ways; no text became markup. */
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
  expect('markup from data', !document.querySelector('main script, main img, aside script, aside img'));
  return {faults, views: views.map((v) => v.name), ms: Number(document.documentElement.dataset.ready), boxes: graph.drawn.length, alerts: window.hostile || 0};
}

start();
if (location.hash === '#selftest') document.documentElement.dataset.selftest = JSON.stringify(selftest());
