'use strict';
/* The modules before and after the passes, their functions with nodes as objects (made when first asked for), and
 * the hierarchy of blocks that the nodes' tensor prefixes spell. */

const NO_PLACE = 0, AT_ARENA = 1, AT_INPUT = 2, AT_OUTPUT = 3, AT_WEIGHT = 4;
const PLACE_NAME = ['', 'arena', 'input', 'output', 'weights'];

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
    this.ops = data.ops.map(([name, summary, operands]) =>
      ({name: str(name), summary: str(summary), operands: operands.map(str), kind: kindOf(str(name))}));
    this.types = data.types.map(([text, bytes]) => ({text: str(text), bytes}));
    this.funcs = data.funcs.map((f, index) => new Func(this, f, index));
  }
  func(name) {
    return this.funcs.find((f) => f.name === name);
  }
  weight(index) {
    const [name, type, source] = this.data.weights[index];
    return {name: str(name), type: this.types[type].text, source: str(source)};
  }
  origin(index) {
    const [file, line, col, block, path] = this.data.origins[index];
    return {file: str(file), line, col, block: str(block), path: str(path)};
  }
}

class Func {
  constructor(module, data, index) {
    this.module = module;
    this.data = data;
    this.index = index;
    this.name = str(data.name);
    this.arena = data.arena;
    this.scratch = data.scratch;
  }
  /* "unet@2.step" is a stage of the network "unet@2". */
  get network() {
    return this.name.replace(/\.(step|prompt|schedule)$/, '');
  }
  get outputs() {
    return this.data.outputs.map(([name, id]) => ({name: str(name), id}));
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

function makeNodes(func) {
  const c = func.data.nodes, m = func.module;
  const nodes = c.op.map((op, id) => ({
    id, func, op: m.ops[op].name, kind: m.ops[op].kind, info: m.ops[op],
    type: m.types[c.type[id]].text, bytes: m.types[c.type[id]].bytes,
    origin: c.origin[id], operands: c.operands[id], users: [],
    attrs: c.attrs[id], params: c.params[id], view: c.view[id] === 1,
    flops: c.flops[id], weights: c.weights[id], moved: c.moved[id],
    kernel: c.kernel ? str(c.kernel[id]) : '', tasks: c.tasks ? c.tasks[id] : 0,
    scratch: c.scratch ? c.scratch[id] : 0, place: c.place ? c.place[id] : NO_PLACE,
    offset: c.offset ? c.offset[id] : 0,
  }));
  for (const n of nodes) {
    n.constant = n.op !== 'input' && n.operands.every((id) => id < 0 || nodes[id].constant);
    n.block = str(m.data.origins[n.origin][3]);
    for (const id of n.operands) if (id >= 0 && !nodes[id].users.includes(n)) nodes[id].users.push(n);
  }
  numberNodes(func, nodes);
  for (const n of nodes) n.name = nameOf(n, nodes);
  return nodes;
}

/* Labels as the text form has them: inputs first, then the nodes in order; weights have their name. */
function numberNodes(func, nodes) {
  let next = 0;
  for (const id of func.data.inputs) nodes[id].label = '%' + next++;
  for (const n of nodes) {
    if (n.op === 'weight') n.label = '@' + func.module.weight(n.attrs).name;
    else if (!n.label) n.label = '%' + next++;
  }
}

/* Names of the weights a node reads, through packing. */
function weightsOf(n) {
  const found = [], nodes = n.func.nodes;
  const walk = (id) => {
    const w = nodes[id];
    if (w.op === 'weight') found.push(w.attrs);
    else if (w.constant) w.operands.forEach((o) => o >= 0 && walk(o));
  };
  n.operands.forEach((id) => id >= 0 && nodes[id].constant && walk(id));
  return found;
}

function firstWeight(n, nodes) {
  for (const id of n.operands) {
    let at = id;
    while (at >= 0 && nodes[at].constant && nodes[at].op !== 'weight') at = nodes[at].operands[0] ?? -1;
    if (at >= 0 && nodes[at].op === 'weight') return n.func.module.weight(nodes[at].attrs).name;
  }
  return '';
}

/* What a reader calls a node: the module its weights belong to ("conv1"), an input's name, or the op. */
function nameOf(n, nodes) {
  if (n.op === 'input') return str(n.attrs).replace(/^%/, '').split('.').pop();
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
    n.home = at;
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
    n.home = block;
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

/* A node's line of IR in pieces [class, text], as ir_print writes it. */
function irPieces(n) {
  const m = n.func.module, ref = (id) => id < 0 ? '_' : n.func.nodes[id].label;
  const out = [];
  if (n.op === 'weight') return [['op', 'weight '], ['ref', n.label], ...placePieces(n)];
  out.push(['label', n.label]);
  if (n.op === 'input') {
    out.push(['name', ' ' + str(n.attrs)], ['', ' : '], ['type', n.type], ['', ' ' + str(n.params)]);
  } else {
    out.push(['', ' = '], ['op', n.op]);
    n.operands.forEach((id, k) => out.push(['', k ? ', ' : ' '], ['ref', ref(id)]));
    if (n.attrs >= 0) out.push(['attrs', ' {' + str(n.attrs) + '}']);
    out.push(['', ' : '], ['type', n.type]);
  }
  if (n.kernel) {
    out.push(['', ' kernel '], ['kernel', n.kernel], ['attrs', ' {' + str(n.params) + '}'],
      ['', ' tasks=' + n.tasks + ' scratch=' + n.scratch]);
  }
  out.push(...placePieces(n));
  const o = m.origin(n.origin);
  if (o.file || o.block) out.push(['loc', '  ' + (o.block || '') + (o.file ? ' ' + baseName(o.file) + ':' + o.line + ':' + o.col : '')]);
  return out;
}

function placePieces(n) {
  return n.place ? [['place', ' at ' + PLACE_NAME[n.place] + '+' + n.offset]] : [];
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
