'use strict';
/* The IR before and after the passes, side by side, with bands between lines that belong together. */

const LINE = 19;
const listing = {synced: true, hideWeights: true};

/* Rows of a function: [{text pieces, node}]. */
function irRows(func) {
  const rows = [];
  const add = (pieces, node) => rows.push({pieces, node});
  add([['op', 'func '], ['ref', '@' + func.name]]);
  for (const n of func.inputs) add([['', '    '], ...irPieces(n)], n);
  add([['', func.arena ? '  arena=' + func.arena + ' scratch=' + func.scratch + ' {' : '{']]);
  for (const n of func.nodes) {
    if (n.op === 'input' || n.op === 'weight' || (n.constant && listing.hideWeights)) continue;
    add([['', '  '], ...irPieces(n)], n);
  }
  add([['op', '  return '], ['', func.outputs.map((o) => o.name + ' = ' + func.nodes[o.id].label).join(', ')]]);
  add([['', '}']]);
  return rows;
}

class Listing {
  constructor(side) {
    this.side = side;
    this.list = new LongList({tabindex: 0, role: 'listbox', 'aria-label': side === 'before' ? 'IR before the passes' : 'IR after the passes'}, LINE, (i) => this.row(i));
    this.list.box.classList.add('code');
    this.list.box.addEventListener('keydown', (e) => this.key(e));
  }
  show(func) {
    this.func = func;
    this.rows = func ? irRows(func) : [];
    this.at = new Map();
    this.rows.forEach((r, i) => r.node && this.at.set(r.node, i));
    const longest = this.rows.reduce((m, r) => Math.max(m, r.pieces.reduce((s, p) => s + p[1].length, 0)), 40);
    this.list.inner.style.width = longest + 8 + 'ch';
    this.list.setCount(this.rows.length);
  }
  row(i) {
    const {pieces, node} = this.rows[i];
    const line = el('div.line', {role: 'option', id: this.side + '-' + i}, el('span.no', {'aria-hidden': 'true'}, String(i + 1)), pieces.map(([c, t]) => c ? el('span.c-' + c, null, t) : t));
    if (!node) return line;
    line.classList.toggle('dim', node.constant);
    line.classList.toggle('unlinked', !node.constant && before !== null && !this.hasLink(node));
    line.addEventListener('click', () => select(node));
    line.addEventListener('pointerenter', () => hoverLine(node));
    line.addEventListener('pointerleave', () => hoverLine(null));
    this.mark(line, node);
    return line;
  }
  hasLink(node) {
    return linked(node).some((o) => o.func === otherListing(this).func);
  }
  mark(line, node) {
    const on = state.node === node, twin = !on && listing.twins.has(node);
    line.classList.toggle('selected', on);
    line.classList.toggle('twin', twin);
    line.classList.toggle('hover', listing.hover.has(node));
    line.setAttribute('aria-selected', String(on));
  }
  remark() {
    for (const [i, line] of this.list.rows) if (this.rows[i].node) this.mark(line, this.rows[i].node);
  }
  key(e) {
    const step = {ArrowDown: 1, ArrowUp: -1, PageDown: 30, PageUp: -30}[e.key];
    if (!step) return;
    e.preventDefault();
    e.stopPropagation();
    let i = state.node && this.at.has(state.node) ? this.at.get(state.node) + step : 0;
    i = Math.max(0, Math.min(this.rows.length - 1, i));
    while (this.rows[i] && !this.rows[i].node) i += Math.sign(step);
    if (this.rows[i]) select(this.rows[i].node);
    if (this.rows[i]) this.list.box.setAttribute('aria-activedescendant', this.side + '-' + i);
  }
}

function otherListing(l) {
  return l === listing.left ? listing.right : listing.left;
}

function hoverLine(node) {
  listing.hover = new Set(node ? [node, ...linked(node)] : []);
  listing.left.remark();
  listing.right.remark();
  drawBands();
}

/* ---- bands ---- */

function drawBands() {
  if (!listing.bands || listing.waiting) return;
  listing.waiting = true;
  requestAnimationFrame(() => {
    listing.waiting = false;
    paintBands();
  });
}

function paintBands() {
  const {left, right, bands} = listing;
  const h = left.list.box.clientHeight, w = bands.clientWidth, paths = [];
  const y = (l, i) => i * LINE - l.list.box.scrollTop;
  for (const [i] of right.list.rows) {
    const node = right.rows[i].node;
    if (!node || !before) continue;
    for (const g of linked(node)) {
      if (!left.at.has(g)) continue;
      const a = y(left, left.at.get(g)), b = y(right, i);
      if ((a < -300 && b < 0) || (a > h + 300 && b > h)) continue;
      const hot = state.node === node || state.node === g, hover = listing.hover.has(node) && listing.hover.has(g);
      const d = 'M0 ' + (a + 2) + 'C' + w / 2 + ' ' + (a + 2) + ' ' + w / 2 + ' ' + (b + 2) + ' ' + w + ' ' + (b + 2) + 'V' + (b + LINE - 2) +
        'C' + w / 2 + ' ' + (b + LINE - 2) + ' ' + w / 2 + ' ' + (a + LINE - 2) + ' 0 ' + (a + LINE - 2) + 'Z';
      paths.push(svg('path.band.k-' + node.kind + (hot ? '.hot' : '') + (hover ? '.hover' : ''), {d}));
    }
  }
  paths.sort((a, b) => a.classList.contains('hot') - b.classList.contains('hot'));
  bands.replaceChildren(...paths);
}

/* Scrolling one side brings the line's twin on the other to the same height. */
function follow(l) {
  if (!listing.synced || listing.led === otherListing(l)) return;
  listing.led = l;
  clearTimeout(listing.timer);
  listing.timer = setTimeout(() => (listing.led = null), 120);
  const other = otherListing(l), box = l.list.box, mid = Math.floor((box.scrollTop + box.clientHeight / 3) / LINE);
  for (let k = 0; k < 60; k++) {
    for (const i of k ? [mid + k, mid - k] : [mid]) {
      const node = l.rows[i] && l.rows[i].node;
      const twin = node && linked(node).find((o) => other.at.has(o));
      if (!twin) continue;
      other.list.box.scrollTop = other.at.get(twin) * LINE - (i * LINE - box.scrollTop);
      return;
    }
  }
}

/* ---- the view ---- */

function irSelected() {
  listing.twins = new Set(state.node ? linked(state.node) : []);
  for (const l of [listing.left, listing.right]) {
    const own = state.node && l.at.get(state.node), twins = [...listing.twins].map((t) => l.at.get(t)).filter((i) => i !== undefined);
    listing.led = l;
    if (own !== undefined && own !== null) l.list.reveal(own);
    else if (twins.length) l.list.reveal(Math.min(...twins));
    l.remark();
  }
  clearTimeout(listing.timer);
  listing.timer = setTimeout(() => (listing.led = null), 120);
  drawBands();
}

function irFunc() {
  const right = state.func.module === after ? state.func : otherEnd('after'), left = state.func.module === after ? sourceOf(state.func) : state.func;
  const pick = choice('Function', funcChoices(true), right ? funcKey(right) : '', (key) => setFunc(funcByKey(key)));
  const check = (text, key, after_) => el('label.check', null, el('input', {type: 'checkbox', checked: listing[key], onchange: (e) => {
    listing[key] = e.target.checked;
    after_();
  }}), text);
  listing.tools.replaceChildren(pick, check('scroll together', 'synced', () => {}), check('hide packing of weights', 'hideWeights', irFunc), el('span.grow'),
    el('span.muted', null, 'click a line: what it came from or became is marked on the other side'));
  listing.leftTitle.replaceChildren(el('b', null, 'before'), left ? ' ' + left.name + ' · ' + plural(left.working.length, 'node') + ' · graph level, as the front end built it' : ' –');
  listing.rightTitle.replaceChildren(el('b', null, 'after'), right ? ' ' + right.name + ' · ' + plural(right.working.length, 'node') + ' · ' + after.level + ' level' : ' –');
  listing.left.func = left;
  listing.right.func = right;
  listing.left.show(left);
  listing.right.show(right);
  listing.shown = state.func;
  irSelected();
}

if (after) addView({
  name: 'ir', title: 'IR',
  make() {
    listing.hover = new Set();
    listing.twins = new Set();
    listing.left = new Listing('before');
    listing.right = new Listing('after');
    listing.tools = el('div.tools');
    listing.leftTitle = el('h2.pane-title');
    listing.rightTitle = el('h2.pane-title');
    listing.bands = svg('svg.bands', {'aria-hidden': 'true'});
    for (const l of [listing.left, listing.right]) {
      l.list.ondraw = drawBands;
      l.list.box.addEventListener('scroll', () => follow(l), {passive: true});
    }
    return [listing.tools, el('div.sides', null, el('div.side', null, listing.leftTitle, listing.left.list.box), el('div.gutter', null, listing.bands), el('div.side', null, listing.rightTitle, listing.right.list.box))];
  },
  shown() {
    if (listing.shown !== state.func) irFunc();
    drawBands();
  },
  func: irFunc,
  selected: irSelected,
  reveal: irSelected,
});
