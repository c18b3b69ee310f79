// `node scripts/serve.mjs FOLDER [PORT]`: serves static files on localhost, which browsers trust with cameras and WebGPU.
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, resolve, sep } from 'node:path';

const TYPES = {
  '.css': 'text/css', '.html': 'text/html; charset=utf-8', '.jpg': 'image/jpeg', '.js': 'text/javascript',
  '.json': 'application/json', '.png': 'image/png', '.svg': 'image/svg+xml', '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
};

const root = resolve(process.argv[2] ?? '.');
const port = Number(process.argv[3] ?? 8080);

const server = createServer(async (request, response) => {
  try {
    const path = decodeURIComponent(new URL(request.url, 'http://localhost').pathname);
    const file = resolve(join(root, path.endsWith('/') ? `${path}index.html` : path));
    if (file !== root && !file.startsWith(root + sep)) throw Object.assign(new Error('outside'), { code: 'ENOENT' });
    const { size, mtimeMs } = await stat(file);
    response.writeHead(200, {
      'content-type': TYPES[extname(file)] ?? 'application/octet-stream',
      'content-length': size,
      'cache-control': 'no-cache',
      etag: `"${size}-${mtimeMs}"`,
    });
    if (request.method === 'HEAD') response.end();
    else createReadStream(file).on('error', () => response.destroy()).pipe(response);
  } catch (error) {
    response.writeHead(error.code === 'ENOENT' || error.code === 'EISDIR' ? 404 : 400).end();
  }
});

server.on('error', (error) => {
  if (error.code !== 'EADDRINUSE') throw error;
  // Somebody else's server is on that port; any other will do.
  server.listen(0, 'localhost');
});
server.on('listening', () => console.log(`The demo is at http://localhost:${server.address().port}/ (Ctrl-C ends it)`));
server.listen(port, 'localhost');
