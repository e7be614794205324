"""Line charts beside each other as SVG, readable on light and dark pages."""
import math
from xml.sax.saxutils import escape

STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #444; }
  .title { font-weight: 600; fill: #222; }
  .axis { stroke: #999; fill: none; }
  .grid { stroke: #999; stroke-opacity: .25; fill: none; }
  .line { stroke: #1f6fb2; stroke-width: 2; fill: none; }
  .dot { fill: #1f6fb2; }
  .line2 { stroke: #777; stroke-width: 1.5; stroke-dasharray: 5 4; fill: none; }
  .value { fill: #1f6fb2; }
  .curve { stroke-width: 2; fill: none; }
  .of0 { stroke: #1f6fb2; } .of1 { stroke: #b5651d; } .of2 { stroke: #2e8b57; } .of3 { stroke: #8a4fb0; }
  @media (prefers-color-scheme: dark) {
    text { fill: #bbb; } .title { fill: #eee; }
    .line { stroke: #6cb6ff; } .dot, .value { fill: #6cb6ff; } .line2 { stroke: #999; }
    .of0 { stroke: #6cb6ff; } .of1 { stroke: #e0995e; } .of2 { stroke: #6fcf97; } .of3 { stroke: #c79be8; }
  }
"""
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 460, 330, 62, 48, 24, 52


def _step(top):
    """A round step so that 4 to 8 lines reach `top`."""
    unit = 10.0 ** (len(str(int(top))) - 1 if top >= 1 else -len(str(int(1 / top))))
    return next(s * unit for s in (0.2, 0.5, 1, 2, 5) if top / (s * unit) <= 8)


def chart(title, x_title, y_title, points, dashed=None, dashed_text="", digits=1):
    """points, dashed: [(x, y, label of x)]; the axes begin at 0."""
    x_top, y_top = max(p[0] for p in points) * 1.04, max(p[1] for p in points + (dashed or [])) * 1.12
    x = lambda v: LEFT + v / x_top * (WIDTH - LEFT - RIGHT)
    y = lambda v: HEIGHT - BOTTOM - v / y_top * (HEIGHT - TOP - BOTTOM)
    out = ['<text class="title" x="%d" y="22">%s</text>' % (LEFT, escape(title))]
    step, v = _step(y_top), 0.0
    while v <= y_top:
        out.append('<path class="grid" d="M%.1f %.1fH%.1f"/><text x="%.1f" y="%.1f" text-anchor="end">%g</text>'
                   % (LEFT, y(v), WIDTH - RIGHT, LEFT - 8, y(v) + 4, round(v, 6)))
        v += step
    out.append('<path class="axis" d="M%.1f %.1fV%.1fH%.1f"/>' % (LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT))
    for px, _, label in points:
        out.append('<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>' % (x(px), HEIGHT - BOTTOM + 18, escape(label)))
    path = lambda ps: "M" + "L".join("%.1f %.1f" % (x(px), y(py)) for px, py, _ in ps)
    if dashed:
        px, py, _ = dashed[-1]
        out.append('<path class="line2" d="%s"/><text x="%.1f" y="%.1f" text-anchor="end">%s</text>' % (path(dashed), x(px) - 8, y(py) + 18, escape(dashed_text)))
    out.append('<path class="line" d="%s"/>' % path(points))
    for px, py, _ in points:
        out.append('<circle class="dot" cx="%.1f" cy="%.1f" r="3.5"/><text class="value" x="%.1f" y="%.1f" text-anchor="middle">%.*f</text>'
                   % (x(px), y(py), x(px), y(py) - 10, digits, py))
    out.append('<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>' % ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, escape(x_title)))
    out.append('<text transform="translate(16 %.1f) rotate(-90)" text-anchor="middle">%s</text>' % ((TOP + HEIGHT - BOTTOM) / 2, escape(y_title)))
    return "\n".join(out)


def curves(title, x_title, y_title, lines):
    """lines: {name: [(x, y)]}, all y above 0 on an axis of powers of ten; other points are left out."""
    lines = {name: [p for p in ps if p[1] > 0] for name, ps in lines.items()}
    points = [p for ps in lines.values() for p in ps]
    if not points:
        return '<text class="title" x="%d" y="22">%s: no errors</text>' % (LEFT, escape(title))
    low, high = math.floor(math.log10(min(p[1] for p in points))), math.ceil(math.log10(max(p[1] for p in points)))
    first, last = min(p[0] for p in points), max(p[0] for p in points)
    x = lambda v: LEFT + (v - first) / max(last - first, 1) * (WIDTH - LEFT - RIGHT - 50)
    y = lambda v: HEIGHT - BOTTOM - (math.log10(v) - low) / max(high - low, 1) * (HEIGHT - TOP - BOTTOM)
    out = ['<text class="title" x="%d" y="22">%s</text>' % (LEFT, escape(title))]
    for power in range(low, high + 1):
        out.append('<path class="grid" d="M%.1f %.1fH%.1f"/><text x="%.1f" y="%.1f" text-anchor="end">1e%d</text>'
                   % (LEFT, y(10.0**power), WIDTH - RIGHT, LEFT - 8, y(10.0**power) + 4, power))
    out.append('<path class="axis" d="M%.1f %.1fV%.1fH%.1f"/>' % (LEFT, TOP, HEIGHT - BOTTOM, WIDTH - RIGHT))
    for v in [first] + [v for v in range(5, int(last) + 1, 5) if v > first]:
        out.append('<text x="%.1f" y="%.1f" text-anchor="middle">%g</text>' % (x(v), HEIGHT - BOTTOM + 18, v))
    for i, (name, ps) in enumerate(lines.items()):
        if ps:
            out.append('<path class="curve of%d" d="M%s"/>' % (i, "L".join("%.1f %.1f" % (x(px), y(py)) for px, py in ps)))
            out.append('<text x="%.1f" y="%.1f">%s</text>' % (x(ps[-1][0]) + 6, y(ps[-1][1]) + 4, escape(name)))
    out.append('<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>' % ((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, escape(x_title)))
    out.append('<text transform="translate(16 %.1f) rotate(-90)" text-anchor="middle">%s</text>' % ((TOP + HEIGHT - BOTTOM) / 2, escape(y_title)))
    return "\n".join(out)


def page(charts, description):
    body = "\n".join('<g transform="translate(%d 0)">\n%s\n</g>' % (i * WIDTH, c) for i, c in enumerate(charts))
    return ('<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-label="%s">\n<style>%s</style>\n%s\n</svg>\n'
            % (WIDTH * len(charts), HEIGHT, escape(description, {'"': "&quot;"}), STYLE, body))
