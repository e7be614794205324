'use strict';
/* The roofline (Williams, Waterman, Patterson 2009): GFLOP/s over FLOP a byte, both logarithmic, under the roofs that
 * the program measured on the same threads after its run. An op, or a kind of op, is a circle whose area is its time. */

const roofline = {group: 'op', pad: {left: 70, right: 30, top: 24, bottom: 48}};

/* Points with work and bytes. */
function roofPoints() {
  const before_ = opTable.group;
  opTable.group = roofline.group;
  const points = groupOps(trace.ops.filter((o) => o.calls && o.flops && o.bytes + o.weights)).filter((g) => g.gflops > 0 && g.intensity > 0);
  opTable.group = before_;
  return points;
}

function decades(lo, hi) {
  const list = [];
  for (let p = Math.floor(lo); p <= Math.ceil(hi); p++) list.push(p);
  return list;
}

function drawRoofline() {
  const {svg: root, box, pad} = roofline, w = box.clientWidth, h = box.clientHeight;
  if (!w) return;
  const points = roofPoints(), ridge = trace.gbs ? trace.gflops / trace.gbs : 1;
  const xs = points.map((p) => Math.log10(p.intensity)).concat(Math.log10(ridge) - 1, Math.log10(ridge) + 1);
  const ys = points.map((p) => Math.log10(p.gflops)).concat(trace.gflops ? Math.log10(trace.gflops) + 0.15 : 0);
  const x0 = Math.min(...xs) - 0.15, x1 = Math.max(...xs) + 0.2, y0 = Math.min(...ys) - 0.2, y1 = Math.max(...ys) + 0.1;
  const X = (v) => pad.left + (Math.log10(v) - x0) / (x1 - x0) * (w - pad.left - pad.right);
  const Y = (v) => h - pad.bottom - (Math.log10(v) - y0) / (y1 - y0) * (h - pad.top - pad.bottom);
  const parts = [svg('clipPath', {id: 'roof-plot'}, svg('rect', {x: pad.left, y: 0, width: w - pad.left - pad.right, height: h - pad.bottom}))];
  parts.push(...roofGrid(x0, x1, y0, y1, X, Y, w, h));
  const plot = svg('g', {'clip-path': 'url(#roof-plot)'});
  if (trace.gflops && trace.gbs) plot.append(svg('path.roof-area', {d: roofPath(X, Y, x0, x1, ridge) + 'V' + h + 'H' + pad.left + 'Z'}), svg('path.roof', {d: roofPath(X, Y, x0, x1, ridge)}));
  const most = Math.max(1e-12, ...points.map((p) => p.work));
  for (const p of points) plot.append(roofPoint(p, X(p.intensity), Y(p.gflops), 3 + 26 * Math.sqrt(p.work / most)));
  parts.push(plot, ...(trace.gflops && trace.gbs ? roofLabels(X, Y, x1, ridge) : []));
  root.setAttribute('viewBox', '0 0 ' + w + ' ' + h);
  root.replaceChildren(...parts);
  markRoofline();
}

function roofPath(X, Y, x0, x1, ridge) {
  return 'M' + X(10 ** x0) + ' ' + Y(trace.gbs * 10 ** x0) + 'L' + X(ridge) + ' ' + Y(trace.gflops) + 'H' + X(10 ** x1);
}

function roofLabels(X, Y, x1, ridge) {
  const left = ridge / 6, angle = Math.atan2(Y(trace.gbs * ridge) - Y(trace.gbs * left), X(ridge) - X(left)) * 180 / Math.PI;
  return [svg('text.level', {x: X(10 ** x1) - 8, y: Y(trace.gflops) - 8, 'text-anchor': 'end'}, 'arithmetic ' + fixed(trace.gflops) + ' GFLOP/s (' + (trace.unit || 'measured') + ')'),
    svg('text.level', {transform: 'translate(' + X(left) + ' ' + (Y(trace.gbs * left) - 9) + ') rotate(' + angle + ')'}, 'memory ' + fixed(trace.gbs) + ' GB/s (triad)')];
}

function roofGrid(x0, x1, y0, y1, X, Y, w, h) {
  const {pad} = roofline, parts = [], short = (v) => v >= 1000 ? v / 1000 + 'k' : String(Number(v.toPrecision(3)));
  for (const p of decades(x0, x1)) {
    for (const m of [1, 2, 5]) {
      const v = m * 10 ** p;
      if (Math.log10(v) < x0 || Math.log10(v) > x1) continue;
      parts.push(svg('line.grid' + (m === 1 ? '' : '.minor'), {x1: X(v), x2: X(v), y1: pad.top, y2: h - pad.bottom}), svg('text.tick', {x: X(v), y: h - pad.bottom + 16, 'text-anchor': 'middle'}, short(v)));
    }
  }
  for (const p of decades(y0, y1)) {
    for (const m of [1, 2, 5]) {
      const v = m * 10 ** p;
      if (Math.log10(v) < y0 || Math.log10(v) > y1) continue;
      parts.push(svg('line.grid' + (m === 1 ? '' : '.minor'), {x1: pad.left, x2: w - pad.right, y1: Y(v), y2: Y(v)}), svg('text.tick', {x: pad.left - 8, y: Y(v) + 4, 'text-anchor': 'end'}, short(v)));
    }
  }
  parts.push(svg('text.tick.axis', {x: (w + pad.left) / 2, y: h - 10, 'text-anchor': 'middle'}, 'FLOP / byte (values and weights)'),
    svg('text.tick.axis', {transform: 'translate(16 ' + h / 2 + ') rotate(-90)', 'text-anchor': 'middle'}, 'GFLOP / s'));
  return parts;
}

function roofPoint(p, x, y, r) {
  const one = roofline.group === 'op', o = p.first;
  const g = svg('g.point.k-' + p.kind, {...tipOf(() => [one ? o.label + ' ' + o.op + ' · ' + o.block : p.key, one ? o.kernel + ' · ' + o.result + ' · ' + o.func : plural(p.ops, 'op'),
    (p.work * 1e3).toFixed(2) + ' ms at work, ' + (p.wait * 1e3).toFixed(2) + ' ms waiting', fixed(p.gflops) + ' GFLOP/s at ' + fixed(p.intensity) + ' FLOP/byte', (100 * p.ofRoof).toFixed(0) + ' % of the roof']),
  onclick: () => {
    if (one && o.node) select(o.node, {follow: true});
  }}, svg('circle', {cx: x, cy: y, r}));
  if (!one) g.append(svg('text.small', {x, y: y + 4 + (r < 18 ? r + 8 : 0), 'text-anchor': 'middle'}, p.key));
  g.node = one ? o.node : null;
  return g;
}

function markRoofline() {
  for (const g of roofline.svg.querySelectorAll('g.point')) {
    const on = state.node && g.node === state.node;
    g.classList.toggle('selected', !!on);
    if (on) g.parentNode.append(g);
  }
}

if (trace) addView({
  name: 'roofline', title: 'Roofline',
  make() {
    roofline.svg = svg('svg', {role: 'img', 'aria-label': 'Roofline of the ops; the table under Ops has the same figures'});
    roofline.box = el('div.chart', null, roofline.svg);
    new ResizeObserver(drawRoofline).observe(roofline.box);
    return [el('div.tools', null, segments('Points', [['op', 'ops'], ['kind', 'kinds'], ['kernel', 'kernels']], 'op', (g) => {
      roofline.group = g;
      drawRoofline();
    }), el('span.fact', null, 'area: time at work, all calls'), el('span.grow'), el('span.muted', null, trace.gflops ? 'roofs measured after the run on ' + plural(trace.threads, 'thread') + '; FLOPs count direct sums, so kernels that save products can pass the roof' : 'the trace has no roofs')), roofline.box, legend()];
  },
  shown: drawRoofline,
  selected: markRoofline,
});
