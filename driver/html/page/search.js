'use strict';
/* Search over blocks, ops, kernels, weights' modules and ids of the function in sight, then of all others. */

const HITS = 60;

function makeSearch() {
  const input = byId('search'), list = byId('hits');
  let hits = [], at = -1;
  const close = () => {
    list.hidden = true;
    input.setAttribute('aria-expanded', 'false');
    input.removeAttribute('aria-activedescendant');
  };
  const choose = (hit) => {
    close();
    input.blur();
    const view = ['graph', 'ir', 'memory'].includes(state.view) ? state.view : 'graph';
    goTo(view === 'memory' && hit.func.module !== after ? 'graph' : view, hit);
  };
  const mark = (to) => {
    at = hits.length ? (to + hits.length) % hits.length : -1;
    [...list.children].forEach((c, i) => c.setAttribute('aria-selected', String(i === at)));
    if (at < 0 || !list.children[at]) return;
    list.children[at].scrollIntoView({block: 'nearest'});
    input.setAttribute('aria-activedescendant', list.children[at].id);
  };
  const update = () => {
    hits = search(input.value);
    list.replaceChildren(...hits.map((h, i) => el('li', {id: 'hit-' + i, role: 'option', onpointerdown: (e) => {
      e.preventDefault();
      choose(h);
    }}, hitText(h))));
    if (input.value && !hits.length) list.append(el('li.none', {role: 'option', 'aria-disabled': 'true'}, 'nothing found'));
    list.hidden = !input.value;
    input.setAttribute('aria-expanded', String(!list.hidden));
    mark(0);
  };
  input.addEventListener('input', update);
  input.addEventListener('focus', () => input.value && update());
  input.addEventListener('blur', close);
  input.addEventListener('keydown', (e) => {
    if (e.key === 'ArrowDown') mark(at + 1);
    else if (e.key === 'ArrowUp') mark(at - 1);
    else if (e.key === 'Enter' && hits[at]) choose(hits[at]);
    else if (e.key === 'Escape') {
      if (input.value) {
        input.value = '';
        close();
      } else {
        input.blur();
      }
    } else return;
    e.preventDefault();
  });
}

function hitText(hit) {
  const where = el('small', null, hit.func.name + (hit.func.module === before ? ' (graph)' : ''));
  if (!hit.op) return [el('i.dot.block'), el('b', null, hit.path), where];
  return [el('i.dot.k-' + hit.kind), el('b', null, hit.label + ' ' + hit.name), el('span', null, hit.op + (hit.block ? ' · ' + hit.block : '')), where];
}

/* Blocks before ops, the function in sight before others; all words of the query must occur. */
function search(query) {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean), hits = [];
  if (!words.length || !state.func) return hits;
  const funcs = [state.func, ...after.funcs, ...(before ? before.funcs : [])];
  for (const f of new Set(funcs)) {
    searchBlocks(f.tree, words, hits);
    const exact = f.nodes.filter((n) => n.label === words[0]);
    hits.push(...exact, ...f.working.filter((n) => !exact.includes(n) && matches(nodeText(n), words)).slice(0, HITS));
    if (hits.length >= HITS) break;
  }
  return hits.slice(0, HITS);
}

function searchBlocks(block, words, hits) {
  for (const c of block.children) {
    if (matches(c.path.toLowerCase(), words)) hits.push(c);
    searchBlocks(c, words, hits);
  }
}

function nodeText(n) {
  if (!n.text) n.text = [n.label, n.op, n.name, n.block, n.kernel, n.type].join(' ').toLowerCase();
  return n.text;
}

function matches(text, words) {
  return words.every((w) => text.includes(w));
}
