/** A web server that can be told to be slow, to break, or to lie. It keeps a list of all requests. */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync } from 'node:zlib';

const TYPES = {
  '.html': 'text/html; charset=utf-8', '.js': 'text/javascript; charset=utf-8', '.mjs': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8', '.json': 'application/json', '.wasm': 'application/wasm', '.svg': 'image/svg+xml',
  '.png': 'image/png', '.jpg': 'image/jpeg',
  '.webmanifest': 'application/manifest+json',
};

/**
 * How a path behaves beyond its contents; each may change between requests.
 * @typedef {object} Behaviour
 * @property {number} [status] an error instead of the contents
 * @property {number} [bytesPerSecond] of each answer
 * @property {number} [cutAfter] the connection breaks after so many bytes of an answer, as often as `cuts` says
 * @property {number} [cuts] how many answers break; all, if it is not given
 * @property {number} [stallAfter] nothing comes after so many bytes of an answer, but the connection stays
 * @property {string} [etag] instead of the one of the contents
 * @property {boolean} [ranges] false: no ranges, the whole file is sent instead
 * @property {boolean} [length] false: no content-length
 * @property {number} [away] after a cut nothing listens for so many milliseconds
 * @property {boolean} [gzip] the answer is compressed
 * @property {string} [redirect] the address where the contents are instead
 */

export class Server {
  #http;
  /** When it comes back after a while away. */
  #return;
  #folders = [];
  #files = new Map();
  /** @type {Map<string, Behaviour>} */ #behaviours = new Map();
  /** What came in: method, path, headers, range, and what went out: status, bytes of the body. */
  requests = [];

  static async start() {
    const server = new Server();
    server.#http = createServer((request, response) => server.#answer(request, response));
    await new Promise((resolve) => server.#http.listen(0, '127.0.0.1', resolve));
    return server;
  }

  stop() {
    clearTimeout(this.#return);
    this.#http.closeAllConnections();
    return new Promise((resolve) => this.#http.close(resolve));
  }

  url(path) {
    return `http://localhost:${this.#http.address().port}${path}`;
  }

  /** Breaks all connections, and listens again after a while. */
  #leave(milliseconds) {
    const { port } = this.#http.address();
    this.#http.close();
    this.#http.closeAllConnections();
    this.#return = setTimeout(() => this.#http.listen(port, '127.0.0.1'), milliseconds);
  }

  /** Serves a folder of the disk below `prefix`, which ends with a slash. */
  folder(prefix, path) {
    this.#folders.unshift([prefix, path]);
  }

  /** Serves these contents. @param {string | Uint8Array | object} contents objects as JSON */
  file(path, contents, { type = 'application/octet-stream', headers = {} } = {}) {
    const plain = typeof contents === 'object' && !(contents instanceof Uint8Array) ? JSON.stringify(contents) : contents;
    this.#files.set(path, { bytes: Buffer.from(plain), type, headers });
  }

  /** A checkpoint as hubs and folders have it. @param {{ config: object, weights: Uint8Array }} checkpoint */
  model(folder, { config, weights }) {
    this.file(`${folder}/config.json`, config);
    this.file(`${folder}/model.safetensors`, weights);
  }

  /** @param {Behaviour} behaviour replaces the one before */
  behave(path, behaviour) {
    this.#behaviours.set(path, behaviour);
  }

  /** The requests for a path since the last call of `forget`. */
  seen(path) {
    return this.requests.filter((request) => request.path === path);
  }

  forget() {
    this.requests.length = 0;
  }

  #find(path) {
    const file = this.#files.get(path);
    if (file) return { size: file.bytes.length, type: file.type, headers: file.headers, read: (from, to) => file.bytes.subarray(from, to), tag: () => hash(file.bytes) };
    for (const [prefix, folder] of this.#folders) {
      if (!path.startsWith(prefix)) continue;
      const disk = join(folder, normalize(`/${path.slice(prefix.length)}`));
      const found = path.endsWith('/') ? join(disk, 'index.html') : disk;
      if (!existsSync(found) || !statSync(found).isFile()) continue;
      const { size, mtimeMs } = statSync(found);
      const read = (from, to) => (size < 1 << 20 ? readFileSync(found).subarray(from, to) : createReadStream(found, { start: from, end: to - 1 }));
      return { size, type: TYPES[extname(found)] ?? 'application/octet-stream', read, tag: () => `${size}-${Math.round(mtimeMs)}` };
    }
    return undefined;
  }

  async #answer(request, response) {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    const behaviour = this.#behaviours.get(path) ?? {};
    const log = { method: request.method, path, headers: request.headers, range: request.headers.range, ifRange: request.headers['if-range'], status: 0, sent: 0 };
    this.requests.push(log);
    const finish = (status, headers = {}) => {
      log.status = status;
      response.writeHead(status, headers);
    };
    if (request.method === 'OPTIONS') {
      // As many hosts of files: no headers are allowed that need asking for.
      finish(405);
      response.end();
      return;
    }
    if (behaviour.redirect) {
      finish(302, { location: behaviour.redirect, 'access-control-allow-origin': '*' });
      response.end();
      return;
    }
    const file = this.#find(path);
    if (behaviour.status || !file) {
      finish(behaviour.status ?? 404, { 'content-type': 'text/plain' });
      response.end('no such thing here');
      return;
    }
    const etag = `"${behaviour.etag ?? file.tag()}"`;
    const headers = {
      'content-type': file.type, etag, 'cache-control': 'no-store', 'access-control-allow-origin': '*',
      'access-control-expose-headers': 'ETag, Content-Range', ...file.headers,
    };
    if (behaviour.gzip) {
      const compressed = gzipSync(file.read(0, file.size));
      finish(200, { ...headers, 'content-encoding': 'gzip', 'content-length': compressed.length });
      response.end(request.method === 'HEAD' ? undefined : compressed);
      log.sent = request.method === 'HEAD' ? 0 : compressed.length;
      return;
    }
    let [from, to] = [0, file.size];
    const range = /^bytes=(\d+)-(\d*)$/.exec(log.range ?? '');
    const current = !log.ifRange || log.ifRange === etag;
    const partial = range && current && behaviour.ranges !== false;
    if (partial) {
      from = Number(range[1]);
      to = range[2] ? Math.min(file.size, Number(range[2]) + 1) : file.size;
      if (from >= file.size) {
        finish(416, { 'content-range': `bytes */${file.size}` });
        response.end();
        return;
      }
      headers['content-range'] = `bytes ${from}-${to - 1}/${file.size}`;
    }
    if (behaviour.ranges !== false) headers['accept-ranges'] = 'bytes';
    if (behaviour.length !== false) headers['content-length'] = to - from;
    finish(partial ? 206 : 200, headers);
    if (request.method === 'HEAD') response.end();
    else await this.#send(response, file.read(from, to), behaviour, log);
  }

  async #send(response, contents, behaviour, log) {
    const { bytesPerSecond, cutAfter = Infinity, stallAfter = Infinity } = behaviour;
    const cuts = cutAfter < Infinity && (behaviour.cuts ?? 1) > 0;
    if (cuts && behaviour.cuts !== undefined) behaviour.cuts -= 1;
    const limit = Math.min(cuts ? cutAfter : Infinity, stallAfter);
    const step = bytesPerSecond ? Math.max(1, Math.ceil(bytesPerSecond / 50)) : 1 << 18;
    try {
      for await (const piece of contents instanceof Readable ? contents : [contents]) {
        for (let at = 0; at < piece.length; at += step) {
          const chunk = piece.subarray(at, Math.min(at + step, piece.length, at + limit - log.sent));
          if (response.destroyed) return;
          if (!response.write(chunk)) await roomFor(response);
          log.sent += chunk.length;
          if (log.sent >= limit) {
            // What was written must leave before the connection ends.
            if (cuts) setTimeout(() => (behaviour.away ? this.#leave(behaviour.away) : response.destroy()), 50);
            return;
          }
          if (bytesPerSecond) await new Promise((resolve) => setTimeout(resolve, 20));
        }
      }
      response.end();
    } catch (error) {
      response.destroy(error);
    }
  }
}

/** Resolves when more can be written, or nothing any more. */
function roomFor(response) {
  return new Promise((resolve) => {
    const done = () => {
      for (const name of ['drain', 'close']) response.off(name, done);
      resolve();
    };
    for (const name of ['drain', 'close']) response.on(name, done);
  });
}

function hash(bytes) {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}
