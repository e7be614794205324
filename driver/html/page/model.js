'use strict';
/* The modules before and after the passes, their functions with nodes as objects (made when first asked for), and
 * the hierarchy of blocks that the nodes' tensor prefixes spell. */

/* What colours tell: the kind of work of an op. */
const KINDS = {
  conv: ['convolution', /^conv2d/],
  linear: ['linear, matmul', /^(linear|matmul|feed_forward|embedding)/],
  attention: ['attention', /^(attention|softmax|pack_k$|pack_v$)/],
  norm: ['normalisation', /^(group_|layer_norm|norm_)/],
  input: ['input', /^input$/],
  move: ['moves, views, packing', /^(reshape|transpose|view|concat|slice|copy|layout_cast|pack_|resize|phase|select)/],
  ew: ['elementwise and others', /./],
};

function kindOf(op) {
  for (const kind in KINDS) if (KINDS[kind][1].test(op)) return kind;
  return 'ew';
}

class Module {
  constructor(side, data) {
    this.side = side;
    this.data = data;
    this.level = data.level;
    this.weights = new Map(data.weights.map((w) => [w.name, w]));
    this.funcs = data.functions.map((f) => new Func(this, f));
  }
  func(name) {
    return this.funcs.find((f) => f.name === name);
  }
}

/* Where a weight's numbers come from. */
function sourceOfWeight(w) {
  return {file: w.file + ': ' + w.tensor, random: 'random', compiler: 'computed by the compiler'}[w.source] || '';
}

class Func {
  constructor(module, data) {
    this.module = module;
    this.data = data;
    this.name = data.name;
    this.arena = data.arena_bytes;
    this.scratch = data.scratch_bytes;
  }
  /* "unet@2.step" is a stage of the network "unet@2". */
  get network() {
    return this.name.replace(/\.(step|prompt|schedule)$/, '');
  }
  get outputs() {
    return this.data.outputs.map(({name, value}) => ({name, id: this.byLabel(labelOf(value)).id}));
  }
  /* In the order of the text form, which numbers them first. */
  get inputs() {
    return this.nodes.filter((n) => n.op === 'input').sort((a, b) => Number(a.label.slice(1)) - Number(b.label.slice(1)));
  }
  get nodes() {
    if (!this.made) this.made = makeNodes(this);
    return this.made;
  }
  /* Nodes that run: no weights and nothing that the compiler computes from them. */
  get working() {
    if (!this.run) this.run = this.nodes.filter((n) => !n.constant);
    return this.run;
  }
  get tree() {
    if (!this.blocks) this.blocks = makeTree(this);
    return this.blocks;
  }
  get totals() {
    if (!this.sums) this.sums = sumOf(this.working);
    return this.sums;
  }
  byLabel(label) {
    return this.nodes.find((n) => n.label === label);
  }
}

function sumOf(nodes) {
  const sum = {flops: 0, weights: 0, moved: 0, ops: 0, time: 0};
  for (const n of nodes) {
    sum.flops += n.flops;
    sum.weights += n.weights;
    sum.moved += n.moved;
    sum.time += n.time || 0;
    if (n.op !== 'input') sum.ops++;
  }
  return sum;
}

/* A reference of the metafile as the text form has it: nodes have numbers, weights names. */
function labelOf(ref) {
  return typeof ref === 'number' ? '%' + ref : '@' + ref;
}

/* A node, from the metafile's object of it or, for a weight, of the weight. */
class Node {
  constructor(func, id, op, label, data, operands) {
    Object.assign(this, {func, id, op, label, data, operands, users: [], kind: kindOf(op), info: raw.ops[op], type: data.type, bytes: data.bytes});
    this.constant = op === 'weight' || data.constant === true;
    this.view = data.view === true;
    this.block = data.block || '';
    this.flops = data.flops || 0;
    this.weights = data.weight_bytes || 0;
    this.moved = data.moved_bytes || 0;
    this.form = data.form || '';
    this.precision = data.precision || '';
    this.signal = data.signal_to_noise_dB;
    this.kernel = data.kernel ? data.kernel.name : '';
    this.tasks = data.kernel ? data.kernel.tasks : 0;
    this.scratch = data.kernel ? data.kernel.scratch_bytes : 0;
    this.place = data.place ? data.place.in : '';
    this.offset = data.place ? data.place.at : 0;
  }
  /* Where the model says so; weights have none. */
  get origin() {
    const {file = '', line = 0, col = 0, path = ''} = this.op === 'weight' ? {} : this.data;
    return {file, line, col, path};
  }
  get attrs() {
    return this.op === 'weight' || this.op === 'input' ? '' : pairsText(this.data.attrs, this.info.attrs);
  }
  get params() {
    return this.kernel ? pairsText(this.data.kernel.params, {}) : '';
  }
  /* Of inputs: name in full, and how often it changes. */
  get input() {
    return this.data.attrs.name;
  }
  get freq() {
    return this.data.attrs.freq;
  }
}

/* Nodes in the order they run; weights, which the metafile lists by themselves, before what first reads them. `id` is
 * the place in this list. */
function makeNodes(func) {
  const nodes = [], at = new Map();
  const add = (op, label, data, operands) => {
    at.set(label, nodes.length);
    nodes.push(new Node(func, nodes.length, op, label, data, operands));
  };
  const index = (ref) => {
    if (ref === null) return -1;
    const label = labelOf(ref);
    if (!at.has(label)) add('weight', label, func.module.weights.get(ref), []);
    return at.get(label);
  };
  for (const d of func.data.nodes) {
    const operands = d.operands.map(index);
    add(d.op, labelOf(d.id), d, operands);
  }
  func.data.outputs.forEach((o) => index(o.value));
  for (const n of nodes) for (const id of n.operands) if (id >= 0 && !nodes[id].users.includes(n)) nodes[id].users.push(n);
  for (const n of nodes) n.name = nameOf(n, nodes);
  return nodes;
}

/* "a=1, b=[2,3]" of what is not at its default. */
function pairsText(pairs, defaults) {
  const text = (v) => Array.isArray(v) ? '[' + v.join(',') + ']' : typeof v === 'string' && !/^\w+$/.test(v) ? JSON.stringify(v) : String(v);
  return Object.entries(pairs).map(([k, v]) => [k, text(v)]).filter(([k, t]) => !(k in defaults) || t !== text(defaults[k])).map((p) => p.join('=')).join(', ');
}

/* Names of the weights a node reads, through packing. */
function weightsOf(n) {
  const found = [], nodes = n.func.nodes;
  const walk = (id) => {
    const w = nodes[id];
    if (w.op === 'weight') found.push(w.data.name);
    else if (w.constant) w.operands.forEach((o) => o >= 0 && walk(o));
  };
  n.operands.forEach((id) => id >= 0 && nodes[id].constant && walk(id));
  return found;
}

function firstWeight(n, nodes) {
  for (const id of n.operands) {
    let at = id;
    while (at >= 0 && nodes[at].constant && nodes[at].op !== 'weight') at = nodes[at].operands[0] ?? -1;
    if (at >= 0 && nodes[at].op === 'weight') return nodes[at].data.name;
  }
  return '';
}

/* What a reader calls a node: the module its weights belong to ("conv1"), an input's name, or the op. */
function nameOf(n, nodes) {
  if (n.op === 'input') return n.input.replace(/^%/, '').split('.').pop();
  if (n.op === 'weight' || n.constant) return n.op;
  const weight = firstWeight(n, nodes).replace(/^[^/]*\//, '').replace(/\.[^.]*$/, '');
  if (!weight) return n.op;
  if (n.block && weight.startsWith(n.block + '.')) return weight.slice(n.block.length + 1);
  return weight === n.block ? blockParts(weight).pop() : n.op;
}

/* ---- blocks ---- */

/* "down_blocks.0.resnets.1" has the parts "down_blocks.0" and "resnets.1". */
function blockParts(block) {
  const parts = [];
  for (const word of block ? block.split('.') : []) {
    if (parts.length && /^\d+$/.test(word)) parts[parts.length - 1] += '.' + word;
    else parts.push(word);
  }
  return parts;
}

function makeTree(func) {
  const root = {name: func.name, path: '', func, parent: null, depth: 0, children: [], ops: [], nodes: [], byName: new Map()};
  for (const n of func.working) {
    let at = root;
    at.nodes.push(n);
    for (const part of blockParts(n.block)) {
      let child = at.byName.get(part);
      if (!child) {
        const path = at.path ? at.path + '.' + part : part;
        child = {name: part, path, func, parent: at, depth: at.depth + 1, children: [], ops: [], nodes: [], byName: new Map()};
        at.byName.set(part, child);
        at.children.push(child);
      }
      at = child;
      at.nodes.push(n);
    }
    at.ops.push(n);
    n.inBlock = at;
  }
  finishTree(root);
  return root;
}

function finishTree(block) {
  block.children.forEach(finishTree);
  /* a block of one op is that op; one that only wraps another block is that block */
  block.children = block.children.filter((c) => {
    if (c.nodes.length > 1) return true;
    const n = c.nodes[0];
    n.inBlock = block;
    block.ops.push(n);
    if (n.name === n.op && n.op !== 'input') n.name = c.name;
    return false;
  });
  block.children = block.children.map((c) => {
    if (c.ops.length || c.children.length !== 1) return c;
    const only = c.children[0];
    only.name = c.name + '.' + only.name;
    only.parent = block;
    return only;
  });
  block.ops.sort((a, b) => a.id - b.id);
  block.totals = sumOf(block.nodes);
  const working = block.nodes.find((n) => n.op !== 'input') || block.nodes[0];
  block.first = working ? working.id : 0; /* inputs come first of all, wherever they belong */
}

/* The block with this path in a tree, or the nearest one around it. */
function findBlock(tree, path) {
  for (const c of tree.children)
    if (path === c.path || path.startsWith(c.path + '.')) return findBlock(c, path);
  return tree;
}

/* ---- text ---- */

/* A node's line of IR in pieces [class, text], as ir_print writes it but for whole numbers that are floats. */
function irPieces(n) {
  const ref = (id) => id < 0 ? '_' : n.func.nodes[id].label;
  const out = [['label', n.label]];
  if (n.op === 'input') {
    out.push(['name', ' ' + n.input], ['', ' : '], ['type', n.type], ['', ' ' + n.freq]);
  } else {
    out.push(['', ' = '], ['op', n.op]);
    n.operands.forEach((id, k) => out.push(['', k ? ', ' : ' '], ['ref', ref(id)]));
    if (n.attrs) out.push(['attrs', ' {' + n.attrs + '}']);
    out.push(['', ' : '], ['type', n.type]);
  }
  if (n.kernel) {
    out.push(['', ' kernel '], ['kernel', n.kernel], ['attrs', ' {' + n.params + '}'],
      ['', ' tasks=' + n.tasks + ' scratch=' + n.scratch]);
  }
  if (n.place) out.push(['place', ' at ' + n.place + '+' + n.offset]);
  const o = n.origin;
  if (o.file || n.block) out.push(['loc', '  ' + n.block + (o.file ? ' ' + baseName(o.file) + ':' + o.line + ':' + o.col : '')]);
  return out;
}

function baseName(path) {
  return path.slice(path.lastIndexOf('/') + 1);
}

/* The last node that reads a node's bytes, views included; the function's end for outputs. */
function lastReader(n) {
  let last = n.id;
  const seen = new Set([n]), queue = [n];
  while (queue.length) {
    for (const u of queue.pop().users) {
      last = Math.max(last, u.id);
      if (u.view && !seen.has(u)) {
        seen.add(u);
        queue.push(u);
      }
    }
  }
  return last;
}

const before = raw.before ? new Module('before', raw.before) : null;
const after = raw.after ? new Module('after', raw.after) : null; /* none: a page about a trace alone */
