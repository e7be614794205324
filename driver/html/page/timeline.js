'use strict';
/* The run over time: a band a thread, events nested in it; drawn on a canvas, since a run has tens of thousands. */

const timeline = {row: 17, top: 26, gap: 14, left: 92};

/* Rows as high as fit, so that two threads fill the page and many still can be scrolled. */
function timelineLanes() {
  const rows = trace.tracks.reduce((n, t) => n + t.depth, 0), room = timeline.box.clientHeight - timeline.top - timeline.gap * trace.tracks.length;
  timeline.row = Math.max(17, Math.min(30, Math.floor(room / rows)));
  let y = timeline.top;
  return trace.tracks.map((track) => {
    const lane = {track, y, h: track.depth * timeline.row};
    y += lane.h + timeline.gap;
    return lane;
  });
}

function timelineColors() {
  const css = getComputedStyle(document.documentElement), of = (name) => css.getPropertyValue('--' + name).trim();
  const colors = {text: of('text'), soft: of('soft'), line: of('line'), face: of('face'), bg: of('bg'), sunk: of('sunk'), mark: of('mark-line')};
  for (const k in KINDS) colors[k] = of(k);
  return colors;
}

function spanAll() {
  return [0, trace.wall || 1];
}

function drawTimeline() {
  const {canvas, box} = timeline, w = box.clientWidth, h = box.clientHeight, ratio = devicePixelRatio || 1;
  if (!w) return;
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio);
    canvas.height = Math.round(h * ratio);
  }
  const c = canvas.getContext('2d'), colors = timelineColors(), [t0, t1] = timeline.span;
  timeline.lanes = timelineLanes();
  timeline.height = timeline.lanes.reduce((m, l) => l.y + l.h + timeline.gap, 0);
  c.setTransform(ratio, 0, 0, ratio, 0, 0);
  c.clearRect(0, 0, w, h);
  const X = (t) => timeline.left + (t - t0) / (t1 - t0) * (w - timeline.left - 12);
  timeline.X = X;
  timeline.w = w;
  drawTimeAxis(c, X, w, h, colors);
  c.save();
  c.beginPath();
  c.rect(timeline.left, 0, w - timeline.left - 12, h);
  c.clip();
  for (const lane of timeline.lanes) drawLane(c, lane, X, colors);
  c.restore();
  c.font = '600 12px system-ui, sans-serif';
  c.fillStyle = colors.text;
  for (const lane of timeline.lanes) c.fillText(clip(lane.track.name, 'name', timeline.left - 20), 12, lane.y - timeline.scroll + timeline.row / 2 + 4);
}

function drawTimeAxis(c, X, w, h, colors) {
  const [t0, t1] = timeline.span, rough = (t1 - t0) / Math.max(2, w / 130), power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  c.font = '11px system-ui, sans-serif';
  for (let t = Math.ceil(t0 / step) * step; t <= t1; t += step) {
    c.fillStyle = colors.line;
    c.fillRect(Math.round(X(t)), 18, 1, h);
    c.fillStyle = colors.soft;
    c.fillText(timeText(Math.round(t)), X(t) + 4, 14);
  }
}

/* Events narrower than a pixel are drawn once a pixel and depth. */
function drawLane(c, lane, X, colors) {
  const [t0, t1] = timeline.span, ends = [];
  const row = timeline.row, wanted = state.node && state.node.measured;
  c.font = '11px system-ui, sans-serif';
  for (const e of lane.track.events) {
    if (e.begin + e.duration < t0) continue;
    if (e.begin > t1) break;
    const x = Math.max(X(e.begin), timeline.left - 2), end = Math.min(X(e.begin + e.duration), timeline.w), width = Math.max(0.8, end - x);
    if (end - x < 0.8 && ends[e.depth] > x) continue;
    ends[e.depth] = x + 0.8;
    const y = lane.y + e.depth * row - timeline.scroll;
    paintEvent(c, e, x, y, width, colors, wanted);
  }
}

function paintEvent(c, e, x, y, width, colors, wanted) {
  const hot = wanted && e.op === wanted, words = timeline.words;
  c.globalAlpha = e.kind === 'wait' ? 0.35 : (wanted && e.op && !hot) || (words && e.op && !matches(e.op.op + ' ' + e.op.block, words)) ? 0.35 : 1;
  c.fillStyle = hot ? colors.mark : e.op ? (e.kind === 'wait' ? colors.soft : colors[e.op.kind]) : e.kind === 'wait' ? colors.soft : e.kind === 'host' ? colors.ew : colors.line;
  c.fillRect(x, y, width - (width > 3 ? 0.6 : 0), timeline.row - 1.5);
  c.globalAlpha = 1;
  if (width < 26) return;
  const name = e.op && e.op.node && e.kind === 'op' ? e.op.node.name + (e.op.node.name === e.op.op ? '' : ' ' + e.op.op) : e.text;
  c.fillStyle = (e.op && e.kind === 'op') || hot || e.kind === 'host' ? colors.face : colors.text;
  c.fillText(clip(name, 'small', width - 8), x + 4, y + timeline.row / 2 + 3.5);
}

/* The event under the pointer. */
function eventAt(e) {
  const box = timeline.canvas.getBoundingClientRect(), x = e.clientX - box.left, y = e.clientY - box.top + timeline.scroll;
  const lane = timeline.lanes.find((l) => y >= l.y && y < l.y + l.h);
  if (!lane || x < timeline.left) return null;
  const [t0, t1] = timeline.span, t = t0 + (x - timeline.left) / (timeline.w - timeline.left - 12) * (t1 - t0), slack = (t1 - t0) / timeline.w;
  const depth = Math.floor((y - lane.y) / timeline.row);
  const hits = lane.track.events.filter((v) => v.depth === depth && v.begin - slack <= t && v.begin + v.duration + slack >= t);
  return hits.sort((a, b) => Math.abs(a.begin + a.duration / 2 - t) - Math.abs(b.begin + b.duration / 2 - t))[0] || null;
}

function eventTip(e) {
  const o = e.op;
  if (!o) return [e.text, e.kind, timeText(e.duration), 'from ' + timeText(e.begin)];
  const share = e.kind === 'op' && o.calls ? [o.kernel + ' · ' + o.result, flopsText(o.flops) + ', ' + bytesText(o.bytes + o.weights) + ' a call of all threads', fixed(o.gflops) + ' GFLOP/s, ' + (100 * o.ofRoof).toFixed(0) + ' % of the roof, all calls'] : ['waiting for the other threads'];
  return [(e.kind === 'wait' ? 'wait after ' : '') + o.label + ' ' + o.op + (o.block ? ' · ' + o.block : ''), timeText(e.duration) + ' from ' + timeText(e.begin), ...share];
}

/* ---- zooming and moving ---- */

function setSpan(from, size) {
  const [a, b] = spanAll(), s = Math.min(b - a, Math.max(200, size)), t = Math.max(a, Math.min(b - s, from));
  timeline.span = [t, t + s];
  drawTimeline();
}

function zoomTimeline(factor, at) {
  const [t0, t1] = timeline.span, middle = at === undefined ? (t0 + t1) / 2 : at, size = (t1 - t0) * factor;
  setSpan(middle - (middle - t0) / (t1 - t0) * size, size);
}

function addTimelinePanning(box) {
  let from = null;
  box.addEventListener('wheel', (e) => {
    e.preventDefault();
    const [t0, t1] = timeline.span, share = (e.clientX - box.getBoundingClientRect().left - timeline.left) / (timeline.w - timeline.left - 12);
    if (e.shiftKey || Math.abs(e.deltaX) > Math.abs(e.deltaY)) setSpan(t0 + (e.deltaX || e.deltaY) / timeline.w * (t1 - t0), t1 - t0);
    else zoomTimeline(Math.exp(e.deltaY * 0.002), t0 + share * (t1 - t0));
  }, {passive: false});
  box.addEventListener('pointerdown', (e) => (from = {x: e.clientX, y: e.clientY, t: timeline.span[0], scroll: timeline.scroll, moved: false}));
  box.addEventListener('pointermove', (e) => {
    if (!from) {
      const hit = eventAt(e);
      return hit ? showTip(e, eventTip(hit)) : hideTip();
    }
    if (Math.hypot(e.clientX - from.x, e.clientY - from.y) > 4) from.moved = true;
    if (!from.moved) return undefined;
    hideTip();
    timeline.scroll = Math.max(0, Math.min(timeline.height - box.clientHeight, from.scroll - e.clientY + from.y));
    const [t0, t1] = timeline.span;
    return setSpan(from.t - (e.clientX - from.x) / (timeline.w - timeline.left - 12) * (t1 - t0), t1 - t0);
  });
  addEventListener('pointerup', () => setTimeout(() => (from = null), 0));
  box.addEventListener('click', (e) => {
    if (from && from.moved) return;
    const hit = eventAt(e);
    if (hit && hit.op && hit.op.node) select(hit.op.node, {follow: true});
    else if (hit) setSpan(hit.begin - hit.duration * 0.02, hit.duration * 1.04);
  });
  box.addEventListener('pointerleave', hideTip);
}

function timelineKey(e) {
  const [t0, t1] = timeline.span;
  if (e.key === '+' || e.key === '=') zoomTimeline(0.6);
  else if (e.key === '-') zoomTimeline(1.6);
  else if (e.key === '0') setSpan(...spanAll());
  else if (e.key === 'ArrowRight') setSpan(t0 + (t1 - t0) / 8, t1 - t0);
  else if (e.key === 'ArrowLeft') setSpan(t0 - (t1 - t0) / 8, t1 - t0);
  else return false;
  return true;
}

if (trace) addView({
  name: 'timeline', title: 'Timeline',
  make() {
    timeline.span = spanAll();
    timeline.scroll = 0;
    timeline.canvas = el('canvas', {'aria-hidden': 'true'});
    timeline.box = el('div.chart', {tabindex: 0, role: 'application', 'aria-label': 'Timeline of the threads; arrows move, + and - zoom'}, timeline.canvas);
    addTimelinePanning(timeline.box);
    new ResizeObserver(drawTimeline).observe(timeline.box);
    new MutationObserver(drawTimeline).observe(document.documentElement, {attributeFilter: ['data-theme']});
    const filter = el('input', {type: 'search', placeholder: 'highlight ops or blocks', 'aria-label': 'Highlight ops or blocks', oninput: (e) => {
      timeline.words = e.target.value ? e.target.value.toLowerCase().split(/\s+/).filter(Boolean) : null;
      drawTimeline();
    }});
    const notes = [trace.leftOut ? countText(trace.leftOut) + ' events left out of this page' : '', trace.dropped ? countText(trace.dropped) + ' events dropped by the program' : ''].filter(Boolean).join(', ');
    return [el('div.tools', null, el('span.fact', null, 'run ', el('b', null, timeText(trace.wall))), el('span.fact', null, plural(trace.threads, 'thread')), filter, el('span.muted', null, notes), el('span.grow'),
      button('−', 'zoom out (-)', () => zoomTimeline(1.6)), button('Fit', 'the whole run (0)', () => setSpan(...spanAll())), button('+', 'zoom in (+)', () => zoomTimeline(0.6))), timeline.box, legend()];
  },
  shown: drawTimeline,
  selected: drawTimeline,
  key: timelineKey,
});
