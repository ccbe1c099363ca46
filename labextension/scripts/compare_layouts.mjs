// SPDX-License-Identifier: BSD-3-Clause
// Lays the same flows out with ours and with three libraries, and prints what packages/graph/adr/0001 has as a table: time, edges drawn behind
// nodes, crossings, size. The libraries are installed into a folder of the system's for this one use; nothing of nbflow depends on them.
//
//   npm run build:lib && node scripts/compare_layouts.mjs [TASKS...]     (by default 16 (the demo's shape), 50 and 500)
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { layout } from '../packages/graph/lib/index.js';

const LIBRARIES = ['@dagrejs/dagre@3', 'elkjs@0.12', 'd3-dag@1'];
const [WIDE, HIGH, GAP, GUTTER] = [144, 44, 8, 32];
const counts = process.argv.slice(2).map(Number);

const folder = mkdtempSync(join(tmpdir(), 'nbflow-layouts-'));
try {
  execFileSync('npm', ['install', '--prefix', folder, '--no-save', '--silent', ...LIBRARIES], { stdio: 'inherit' });
  const require = createRequire(pathToFileURL(join(folder, 'x.js')));
  const load = async name => import(pathToFileURL(require.resolve(name)).href);
  const makers = [
    ['ours', ours],
    ['dagre', dagre(await load('@dagrejs/dagre'))],
    ['d3-dag', d3dag(require('d3-dag'))],
    ['elkjs', elk(await load('elkjs/lib/elk.bundled.js'))]
  ];
  console.log('flow | layout | ms | behind | crossings | size');
  for (const count of counts.length ? counts : [16, 50, 500]) {
    const flow = count === 16 ? demo() : random(1, count);
    for (const [name, make] of makers) {
      const began = performance.now();
      const drawn = await make(flow);
      const took = performance.now() - began;
      const size = `${Math.round(drawn.width)} x ${Math.round(drawn.height)}`;
      console.log([count, name, took.toFixed(0), behind(drawn), crossings(drawn), size].join(' | '));
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}

// --- flows -----------------------------------------------------------------------------------------------------------

function demo() {
  const chain = ['drop', 'create', 'parse', 'reports', 'check'];
  const apps = Array.from({ length: 9 }, (_, place) => `app${place}`);
  const edges = [...apps.map(app => [app, 'drop']), ...chain.slice(1).map((id, place) => [chain[place], id])];
  return { ids: [...apps, ...chain, 'alert', 'quiet'], edges: [...edges, ['check', 'alert'], ['check', 'quiet']] };
}

function random(seed, count) {
  let state = seed;
  const dice = sides => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * sides);
  };
  const edges = new Map();
  for (let below = 1; below < count; below++) {
    for (let many = [0, 1, 1, 2, 3][dice(5)]; many > 0; many--) {
      const above = Math.max(0, below - 12) + dice(Math.min(12, below));
      edges.set(`${above} ${below}`, [`t${above}`, `t${below}`]);
    }
  }
  return { ids: Array.from({ length: count }, (_, place) => `t${place}`), edges: [...edges.values()] };
}

// --- layouts: nodes as boxes, each edge as its points ----------------------------------------------------------------

function ours({ ids, edges }) {
  const drawn = layout(
    ids,
    edges.map(([from, to]) => ({ from, to, names: ['x'] }))
  );
  const nodes = drawn.nodes.map(node => ({
    id: node.id,
    x: node.x,
    y: node.y,
    width: node.width,
    height: node.height
  }));
  const lines = drawn.strokes.flatMap(stroke =>
    stroke.segments.map(([x1, y1, x2, y2]) => ({
      points: [
        [x1, y1],
        [x2, y2]
      ],
      ends: [...stroke.edges].flatMap(edge => [drawn.edges[edge].from, drawn.edges[edge].to])
    }))
  );
  return { width: drawn.width, height: drawn.height, nodes, lines };
}

function dagre(module) {
  const library = module.default ?? module;
  return ({ ids, edges }) => {
    const graph = new library.graphlib.Graph();
    graph.setGraph({ rankdir: 'LR', nodesep: GAP, ranksep: GUTTER });
    graph.setDefaultEdgeLabel(() => ({}));
    ids.forEach(id => graph.setNode(id, { width: WIDE, height: HIGH }));
    edges.forEach(([from, to]) => graph.setEdge(from, to));
    library.layout(graph);
    const boxes = ids.map(id => ({ id, ...graph.node(id) }));
    return {
      ...graph.graph(),
      nodes: boxes.map(box => ({ ...box, x: box.x - WIDE / 2, y: box.y - HIGH / 2 })),
      lines: graph
        .edges()
        .map(edge => ({ points: graph.edge(edge).points.map(point => [point.x, point.y]), ends: [edge.v, edge.w] }))
    };
  };
}

/** From top to bottom, so turned by a quarter; tasks without edges are left out. */
function d3dag(library) {
  return ({ edges }) => {
    const graph = library.graphConnect()(edges);
    const { width, height } = library.sugiyama().nodeSize([HIGH, WIDE]).gap([GAP, GUTTER])(graph);
    const nodes = [...graph.nodes()];
    return {
      width: height,
      height: width,
      nodes: nodes.map(node => ({
        id: node.data,
        x: node.y - WIDE / 2,
        y: node.x - HIGH / 2,
        width: WIDE,
        height: HIGH
      })),
      lines: [...graph.links()].map(link => ({
        points: link.points.map(([x, y]) => [y, x]),
        ends: [link.source.data, link.target.data]
      }))
    };
  };
}

function elk(module) {
  const library = new (module.default ?? module)();
  const options = {
    'elk.algorithm': 'layered',
    'elk.direction': 'RIGHT',
    'elk.edgeRouting': 'ORTHOGONAL',
    'elk.spacing.nodeNode': String(GAP),
    'elk.layered.spacing.nodeNodeBetweenLayers': String(GUTTER)
  };
  return async ({ ids, edges }) => {
    const drawn = await library.layout({
      id: 'root',
      layoutOptions: options,
      children: ids.map(id => ({ id, width: WIDE, height: HIGH })),
      edges: edges.map(([from, to], place) => ({ id: `e${place}`, sources: [from], targets: [to] }))
    });
    const points = ({ startPoint, bendPoints = [], endPoint }) =>
      [startPoint, ...bendPoints, endPoint].map(point => [point.x, point.y]);
    const lines = drawn.edges.map(edge => ({
      points: points(edge.sections[0]),
      ends: [edge.sources[0], edge.targets[0]]
    }));
    return { width: drawn.width, height: drawn.height, nodes: drawn.children, lines };
  };
}

// --- what is counted -------------------------------------------------------------------------------------------------

function* pieces(drawn) {
  for (const line of drawn.lines) {
    for (let place = 1; place < line.points.length; place++) {
      yield { from: line.points[place - 1], to: line.points[place], line };
    }
  }
}

/** Pairs of a line and a node that is not one of its ends, where the line runs through the node's box. */
function behind(drawn) {
  const found = new Set();
  for (const { from, to, line } of pieces(drawn)) {
    for (const node of drawn.nodes) {
      if (!line.ends.includes(node.id) && meets(from, to, node)) {
        found.add(`${line.ends} ${node.id}`);
      }
    }
  }
  return found.size;
}

function meets([x1, y1], [x2, y2], { x, y, width, height }) {
  for (let step = 0; step <= 32; step++) {
    const [px, py] = [x1 + ((x2 - x1) * step) / 32, y1 + ((y2 - y1) * step) / 32];
    if (px > x + 1 && px < x + width - 1 && py > y + 1 && py < y + height - 1) {
      return true;
    }
  }
  return false;
}

/** Crossings of lines without a common end. */
function crossings(drawn) {
  const all = [...pieces(drawn)];
  let total = 0;
  for (let one = 0; one < all.length; one++) {
    for (let other = one + 1; other < all.length; other++) {
      total += apart(all[one].line, all[other].line) && cross(all[one], all[other]) ? 1 : 0;
    }
  }
  return total;
}

function apart(one, other) {
  return !one.ends.some(end => other.ends.includes(end));
}

function cross(one, other) {
  const side = ([ax, ay], [bx, by], [px, py]) => Math.sign((bx - ax) * (py - ay) - (by - ay) * (px - ax));
  return (
    side(one.from, one.to, other.from) * side(one.from, one.to, other.to) < 0 &&
    side(other.from, other.to, one.from) * side(other.from, other.to, one.to) < 0
  );
}
