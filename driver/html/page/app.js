'use strict';
/* The frame: views as tabs, what is selected, theme, keyboard, the address. */

/* Views register here: {name, title, make(): element, shown(), selected(), func()}; all but make are optional. */
const views = [];
const state = {started: false, view: '', side: 'after', func: null, node: null, block: null};

function addView(view) {
  views.push(view);
}

function viewOf(name) {
  return views.find((v) => v.name === name);
}

/* ---- moving ---- */

function showView(name, keepHash) {
  const view = viewOf(name) || views[0];
  state.view = view.name;
  for (const v of views) {
    const on = v === view;
    byId('tab-' + v.name).setAttribute('aria-selected', String(on));
    byId('tab-' + v.name).tabIndex = on ? 0 : -1;
    if (v.panel) v.panel.hidden = !on;
  }
  if (!view.panel) {
    view.panel = el('section.view', {id: 'view-' + name, role: 'tabpanel', 'aria-labelledby': 'tab-' + name});
    view.panel.classList.add('view-' + view.name);
    byId('main').append(view.panel);
    view.panel.append(...[view.make()].flat());
  }
  if (view.shown) view.shown();
  if (!keepHash) writeHash();
}

/* The function that graph, IR and memory show. */
function setFunc(func) {
  if (state.func === func) return;
  state.func = func;
  state.side = func.module.side;
  for (const v of views) if (v.panel && v.func) v.func();
  writeHash();
}

/* Selects a node, a block ({block}) or nothing, in all views. */
function select(what, options) {
  const node = what && what.op ? what : null, block = what && !what.op ? what : null;
  if (options && options.follow && what) setFunc(what.func);
  state.node = node;
  state.block = block;
  showDetails();
  for (const v of views) if (v.panel && v.selected) v.selected(options || {});
  if (node) say(node.label + ' ' + node.op + ' ' + node.type);
  if (block) say('block ' + block.path);
  writeHash();
}

/* Goes to a view with something selected and in sight. */
function goTo(view, what) {
  select(what, {follow: true});
  showView(view);
  const v = viewOf(view);
  if (v.reveal) v.reveal(what);
}

/* ---- address: #view/side/function/%id-or-block ---- */

function writeHash() {
  if (!state.started) return; /* the address given comes first */
  const parts = [state.view];
  if (state.func) parts.push(state.side, state.func.name);
  if (state.func && state.node && state.node.func === state.func) parts.push(state.node.label);
  if (state.func && state.block && state.block.func === state.func) parts.push(state.block.path);
  history.replaceState(null, '', addressOf(parts));
}

/* A node's label stands in the address as it is: %64, which nothing decodes. */
function addressOf(parts) {
  return '#' + parts.map((p) => /^%\d+$/.test(p) ? p : encodeURIComponent(p)).join('/');
}

/* What a part of an address may mean: what is written, then what that is decoded. */
function meanings(part) {
  if (part === undefined) return [];
  try {
    return [part, decodeURIComponent(part)];
  } catch {
    return [part];
  }
}

/* The first thing that find() knows by a meaning of the part. */
function addressed(part, find) {
  for (const text of meanings(part)) {
    const found = text && find(text);
    if (found) return found;
  }
  return null;
}

function readHash() {
  const [view, side, name, what] = location.hash.slice(1).split('/');
  const module = side === 'before' && before ? before : after;
  const func = module ? addressed(name, (text) => module.func(text)) : null;
  if (func) setFunc(func);
  const target = func ? addressed(what, (text) => func.byLabel(text) || findBlock(func.tree, text)) : null;
  showView(viewOf(view) ? view : views[0].name, true);
  if (target) {
    select(target);
    if (viewOf(state.view).reveal) viewOf(state.view).reveal(target);
  }
}

/* ---- theme ---- */

const themes = {light: '☀', dark: '☾'};

function isDark() {
  return matchMedia('(prefers-color-scheme: dark)').matches;
}

function setTheme(name) {
  document.documentElement.dataset.theme = name;
  byId('theme').textContent = themes[name];
}

function makeTheme() {
  setTheme(isDark() ? 'dark' : 'light');
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => setTheme(isDark() ? 'dark' : 'light'));
  byId('theme').addEventListener('click', () => setTheme(document.documentElement.dataset.theme === 'dark' ? 'light' : 'dark'));
}

/* ---- frame ---- */

function makeTabs() {
  byId('tabs').append(...views.map((v, i) => el('button', {
    type: 'button', role: 'tab', id: 'tab-' + v.name, 'aria-controls': 'view-' + v.name, title: v.title + ' (' + (i + 1) + ')',
    onclick: () => showView(v.name),
  }, v.title)));
  byId('tabs').addEventListener('keydown', (e) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[e.key];
    if (!step) return;
    e.preventDefault();
    const i = views.findIndex((v) => v.name === state.view), next = views[(i + step + views.length) % views.length];
    showView(next.name);
    byId('tab-' + next.name).focus();
  });
}

function makeTitle() {
  const about = after ? after.data : {}, name = about.model || baseName(raw.input || '') || (trace ? trace.program : '');
  byId('model-name').textContent = name;
  byId('model-about').textContent = [about.target, about.precision, about.ebru ? 'ebru ' + about.ebru : '', trace ? 'run of ' + timeText(trace.wall) + ' on ' + plural(trace.threads, 'thread') : ''].filter(Boolean).join(' · ');
  document.title = name + ' – ebru report';
}

const HELP = [
  ['/', 'search blocks, ops and ids'], ['1 – 9', 'switch views'], ['arrow keys', 'graph: to the node in that direction; IR and lists: up and down'],
  ['Enter', 'graph: open or close a block; lists: select'], ['Space', 'graph: select without opening'], ['+ − 0', 'graph, timeline: zoom in, out, fit'],
  ['L', 'from a node of one IR to where it came from or went'], ['Esc', 'close search, then details'], ['D', 'light or dark'],
];

function makeHelp() {
  const dialog = byId('help');
  dialog.append(el('h2', {id: 'help-title'}, 'Keyboard'),
    el('dl', null, HELP.flatMap(([key, what]) => [el('dt', null, el('kbd', null, key)), el('dd', null, what)])),
    el('p', null, 'The page loads nothing and sends nothing; everything it shows is in this file.'),
    el('form', {method: 'dialog'}, el('button', {type: 'submit'}, 'Close')));
  dialog.querySelector('form').addEventListener('submit', (e) => {
    e.preventDefault();
    dialog.close();
  });
  byId('help-open').addEventListener('click', () => dialog.showModal());
}

function isTyping(target) {
  return /^(INPUT|SELECT|TEXTAREA)$/.test(target.tagName);
}

function onKey(e) {
  if (e.ctrlKey || e.metaKey || e.altKey || byId('help').open) return;
  if (e.key === 'Escape' && !isTyping(e.target)) {
    hideTip();
    select(null);
    return;
  }
  if (isTyping(e.target)) return;
  const number = '123456789'.indexOf(e.key);
  if (e.key === '/') byId('search').focus();
  else if (e.key === '?') byId('help').showModal();
  else if (e.key === 'd') byId('theme').click();
  else if (e.key === 'l') followLink();
  else if (number >= 0 && views[number]) showView(views[number].name);
  else if (viewOf(state.view).key && viewOf(state.view).key(e)) { /* the view has taken it */ }
  else return;
  e.preventDefault();
}

function followLink() {
  const other = state.node ? linked(state.node) : [];
  if (other.length) select(other[0], {follow: state.view !== 'ir'});
  else say('no link');
}

/* The function that opens first: the denoiser's step, or the one with most work. */
function firstFunc() {
  return after.func('unet.step') || after.funcs.reduce((best, f) => (f.data.flops > best.data.flops && !/@2/.test(f.name)) ? f : best, after.funcs[0]);
}

function start() {
  const began = performance.now();
  makeTheme();
  makeTitle();
  makeTabs();
  makeHelp();
  makeSearch();
  if (after && after.funcs.length) setFunc(firstFunc());
  readHash();
  state.started = true;
  addEventListener('hashchange', readHash);
  document.addEventListener('keydown', onKey);
  document.documentElement.dataset.ready = String(Math.round(performance.now() - began));
}
