// Read arrays over HTTP with zarrita: `node read_zarrita.mjs URL REQUEST`, in a folder whose node_modules has zarrita.
//
// REQUEST is JSON: {"arrays": {PATH: REGION or null}, "format": 2 or 3 or null, "consolidated": true or false, "suffix": true or false, "origin": TEXT or ""}.
// A REGION has for each dimension [START, STOP], an index, or null for all of it. Prints JSON: {"arrays": {PATH: {"shape", "dtype", "bytes" or "values"}},
// "contents": the consolidated members, "requests": [[METHOD, URL, RANGE, STATUS]]}; bytes are little-endian, in C order, base64.
//
// With an origin, fetch refuses what a browser would refuse a page of that origin: a reply without the CORS header, a preflight that was not granted.
// It hides header fields that are not exposed.

import * as zarr from "zarrita";

const SAFE_FIELDS = ["cache-control", "content-language", "content-length", "content-type", "expires", "last-modified", "pragma"];
const SAFE_RANGE = /^bytes=\d+-\d*$/;
const [url, words] = process.argv.slice(2);
const asked = JSON.parse(words);
const requests = [];

async function logged(request) {
  const response = await fetch(request);
  requests.push([request.method, request.url, request.headers.get("range") ?? "", response.status]);
  return response;
}

function listed(headers, name) {
  return (headers.get(name) ?? "").toLowerCase().split(",").map((word) => word.trim());
}

function checkOrigin(response, what) {
  const allowed = response.headers.get("access-control-allow-origin");
  if (allowed !== "*" && allowed !== asked.origin) {
    throw new TypeError(`CORS: ${what} (status ${response.status}) allows origin ${allowed}, not ${asked.origin}`);
  }
}

async function preflight(request, fields) {
  const headers = {
    Origin: asked.origin,
    "Access-Control-Request-Method": request.method,
    "Access-Control-Request-Headers": fields.join(","),
  };
  const response = await logged(new Request(request.url, { method: "OPTIONS", headers }));
  checkOrigin(response, `preflight of ${request.url}`);
  const granted = listed(response.headers, "access-control-allow-headers");
  if (!response.ok || !(granted.includes("*") || fields.every((field) => granted.includes(field)))) {
    throw new TypeError(`CORS: the preflight of ${request.url} (status ${response.status}) grants [${granted}], not [${fields}]`);
  }
}

async function asABrowser(request) {
  const unsafe = [...request.headers].filter(([name, value]) => !(name === "range" && SAFE_RANGE.test(value))).map(([name]) => name);
  if (unsafe.length) await preflight(request, unsafe);
  const headers = new Headers(request.headers);
  headers.set("Origin", asked.origin);
  const response = await logged(new Request(request, { headers }));
  checkOrigin(response, `${request.method} ${request.url}`);
  const exposed = listed(response.headers, "access-control-expose-headers");
  const shown = [...response.headers].filter(([name]) => SAFE_FIELDS.includes(name) || exposed.includes(name) || exposed.includes("*"));
  const body = request.method === "HEAD" ? null : await response.arrayBuffer();
  return new Response(body, { status: response.status, statusText: response.statusText, headers: shown });
}

function named(dtype) {
  const [, kind, bits] = /^(bool|int|uint|float|complex)(\d*)$/.exec(dtype) ?? [];
  return kind === "bool" ? "|b1" : kind && `<${{ int: "i", uint: "u", float: "f", complex: "c" }[kind]}${bits / 8}`;
}

function* positions(shape, stride) {
  const index = shape.map(() => 0);
  const count = shape.reduce((product, length) => product * length, 1);
  for (let n = 0; n < count; n++) {
    yield index.reduce((sum, at, axis) => sum + at * stride[axis], 0);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
}

function told(array, { data, shape, stride }) {
  const order = [...positions(shape, stride)];
  const dtype = named(array.dtype);
  if (!dtype) return { shape, dtype: "str", values: order.map((at) => (data.get ? data.get(at) : data[at])) };
  const size = data.BYTES_PER_ELEMENT;
  const cells = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const bytes = Buffer.alloc(order.length * size);
  order.forEach((at, n) => bytes.set(cells.subarray(at * size, (at + 1) * size), n * size));
  return { shape, dtype, bytes: bytes.toString("base64") };
}

async function read(root, path, region) {
  const open = { 2: zarr.open.v2, 3: zarr.open.v3 }[asked.format] ?? zarr.open;
  const array = await open(root.resolve(path), { kind: "array" });
  const ends = (region ?? array.shape.map(() => null)).map((each, axis) => each ?? [0, array.shape[axis]]);
  // A region keeps all dimensions: what zarrita gives is then never a bare number, whatever its type.
  const spans = ends.map((each) => (Array.isArray(each) ? each : [each, each + 1]));
  if (spans.length === 0) {
    const { data } = await array.getChunk([]);
    return told(array, { data, shape: [], stride: [] });
  }
  const found = await zarr.get(array, spans.map(([start, stop]) => zarr.slice(start, stop)));
  const kept = (each, axis) => Array.isArray(ends[axis]);
  return told(array, { data: found.data, shape: found.shape.filter(kept), stride: found.stride.filter(kept) });
}

const options = { fetch: asked.origin ? asABrowser : logged, useSuffixRequest: asked.suffix };
let store = new zarr.FetchStore(url, options);
if (asked.consolidated) {
  store = await zarr.withConsolidatedMetadata(store, asked.format ? { format: `v${asked.format}` } : undefined);
}
const root = zarr.root(store);
const arrays = {};
for (const [path, region] of Object.entries(asked.arrays)) arrays[path] = await read(root, path, region);
process.stdout.write(JSON.stringify({ arrays, contents: asked.consolidated ? store.contents() : [], requests }));
