'use strict';
/* Making elements. Texts are set with textContent, so names from a model are never read as markup. */

const SVG = 'http://www.w3.org/2000/svg';

/* el('button.icon', {title: 'x', onclick: f}, child or text ...) */
function el(tag, props, ...children) {
  const [name, ...classes] = tag.split('.');
  return fill(document.createElement(name || 'div'), classes, props, children);
}

function svg(tag, props, ...children) {
  const [name, ...classes] = tag.split('.');
  return fill(document.createElementNS(SVG, name), classes, props, children);
}

function fill(node, classes, props, children) {
  if (classes.length) node.setAttribute('class', classes.join(' '));
  for (const key in props || {}) {
    const value = props[key];
    if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
    else if (value === true) node.setAttribute(key, '');
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value);
  }
  node.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false));
  return node;
}

function byId(id) {
  return document.getElementById(id);
}

/* ---- tooltip ---- */

/* Shows lines of text beside the pointer; the first is the heading. */
function showTip(event, lines) {
  const tip = byId('tip');
  tip.replaceChildren(...lines.filter(Boolean).map((line, i) => el(i ? 'span' : 'b', null, line)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect(), gap = 14;
  const x = event.clientX + gap + box.width > innerWidth ? event.clientX - gap - box.width : event.clientX + gap;
  const y = Math.min(event.clientY + gap, innerHeight - box.height - 4);
  tip.style.left = Math.max(4, x) + 'px';
  tip.style.top = Math.max(4, y) + 'px';
}

function hideTip() {
  byId('tip').hidden = true;
}

function tipOf(lines) {
  return {onpointermove: (e) => showTip(e, lines()), onpointerleave: hideTip};
}

/* Says something to screen readers. */
function say(text) {
  byId('live').textContent = text;
}

/* ---- pieces ---- */

/* A labelled <select>; choices are [value, text]. */
function choice(label, choices, value, onchange) {
  const select = el('select', {onchange: () => onchange(select.value)},
    choices.map(([v, text]) => el('option', {value: v, selected: v === value}, text)));
  return el('label.choice', null, el('span', null, label), select);
}

/* Buttons of which one is pressed; choices are [value, text]. */
function segments(label, choices, value, onchange) {
  const group = el('div.segments', {role: 'group', 'aria-label': label});
  group.append(...choices.map(([v, text]) => el('button', {type: 'button', 'aria-pressed': String(v === value), onclick: () => {
    for (const b of group.children) b.setAttribute('aria-pressed', String(b.dataset.value === v));
    onchange(v);
  }, 'data-value': v}, text)));
  return group;
}

function button(text, title, onclick) {
  return el('button', {type: 'button', title, 'aria-label': title, onclick}, text);
}

/* A bar of a share of 1. */
function meter(share, kind) {
  const bar = el('span.meter' + (kind ? '.k-' + kind : ''), {'aria-hidden': 'true'}, el('i'));
  bar.firstChild.style.width = Math.max(0, Math.min(1, share || 0)) * 100 + '%';
  return bar;
}

/* ---- long lists ---- */

/* A scrolling list of equally high rows of which only the visible ones exist. row(i) makes one. */
class LongList {
  constructor(props, height, row) {
    this.height = height;
    this.row = row;
    this.count = 0;
    this.rows = new Map();
    this.inner = el('div.long-inner');
    this.box = el('div.long', props, this.inner);
    this.box.addEventListener('scroll', () => this.draw(), {passive: true});
    new ResizeObserver(() => this.draw()).observe(this.box);
  }
  setCount(count) {
    this.count = count;
    this.inner.style.height = count * this.height + 'px';
    this.redraw();
  }
  redraw() {
    this.rows.forEach((r) => r.remove());
    this.rows.clear();
    this.draw();
  }
  draw() {
    const top = this.box.scrollTop, from = Math.max(0, Math.floor(top / this.height) - 8);
    const to = Math.min(this.count, Math.ceil((top + this.box.clientHeight) / this.height) + 8);
    for (const [i, r] of this.rows) {
      if (i < from || i >= to) {
        r.remove();
        this.rows.delete(i);
      }
    }
    for (let i = from; i < to; i++) if (!this.rows.has(i)) this.add(i);
    if (this.ondraw) this.ondraw();
  }
  add(i) {
    const r = this.row(i);
    r.style.top = i * this.height + 'px';
    r.style.height = this.height + 'px';
    this.rows.set(i, r);
    this.inner.append(r);
  }
  /* Brings row i into the middle unless it is well in sight. */
  reveal(i, always) {
    const top = i * this.height, view = this.box.clientHeight;
    if (always || top < this.box.scrollTop + this.height || top > this.box.scrollTop + view - 2 * this.height)
      this.box.scrollTop = Math.max(0, top - view / 2 + this.height);
    this.draw();
  }
}
