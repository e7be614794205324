'use strict';
/* The report's document, and how its figures are written. Everything that comes from the model reaches the page
 * as text of elements (textContent) only.
 *
 * {before, after: metafiles (docs/inspecting.md) of the module as the front end built it and as the passes left it,
 *  decisions: of the fusion report, ops: {NAME: {summary, operands, attrs: their defaults}}, input, ignored, parameters,
 *  random_weights, seconds, trace: a run (html_trace.c)}; a page about a trace alone has only that. */

/* What one does not see, and what turns or breaks a text: names come from files that others wrote. */
const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff0-\ufffb\u{e0000}-\u{e0fff}]/gu;

/* Spells them out: \u{202e}. */
function spelledOut(text) {
  return text.replace(HIDDEN, (c) => '\\u{' + c.codePointAt(0).toString(16).padStart(4, '0') + '}');
}

/* All of them are escapes in the data, and other escapes than those of markup are rare: only where there is one, each
 * string is looked at. */
function readData(text) {
  const rare = /\\(?!["\\]|u003c|u003e|u0026)/.test(text);
  return rare ? JSON.parse(text, (key, value) => typeof value === 'string' ? spelledOut(value) : value) : JSON.parse(text);
}

const raw = readData(document.getElementById('data').textContent);

function fixed(value) {
  const digits = value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return value.toFixed(digits);
}

/* 0 B, 12.5 KiB, 1.95 GiB */
function bytesText(bytes) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let u = 0;
  for (; bytes >= 1024 && u + 1 < units.length; u++) bytes /= 1024;
  return (u ? fixed(bytes) : String(bytes)) + ' ' + units[u];
}

/* 12.5 MFLOP */
function flopsText(flops) {
  const units = ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP'];
  let u = 0;
  for (; flops >= 1000 && u + 1 < units.length; u++) flops /= 1000;
  return (u ? fixed(flops) : String(Math.round(flops))) + ' ' + units[u];
}

/* Nanoseconds to 12.5 µs; whole numbers stay short. */
function timeText(ns) {
  const units = ['ns', 'µs', 'ms', 's'];
  let u = 0;
  for (; ns >= 1000 && u + 1 < units.length; u++) ns /= 1000;
  return (u ? fixed(ns) : String(Math.round(ns))) + ' ' + units[u];
}

function countText(n) {
  return n.toLocaleString('en');
}

function percentText(part, whole) {
  return whole > 0 ? (100 * part / whole).toFixed(1) + ' %' : '–';
}

/* 1 op, 2 ops */
function plural(n, one, many) {
  return countText(n) + ' ' + (n === 1 ? one : many || one + 's');
}
