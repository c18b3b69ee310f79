/** Addresses: of the page, of files, and of what bundlers make of `new URL(.., import.meta.url)`. */

interface Process {
  cwd?(): string;
  getBuiltinModule?(name: 'node:url'): { pathToFileURL(path: string): URL };
}

/** The page, also inside workers; outside browsers the working directory. */
export function pageUrl(): string | undefined {
  const { document, location, process } = globalThis as { document?: Document; location?: Location; process?: Process };
  if (document) return document.baseURI;
  // A worker out of a blob has an origin, but no place below it.
  if (location) return location.protocol === 'blob:' ? location.origin : location.href;
  const cwd = process?.cwd?.();
  return cwd === undefined ? undefined : fileUrl(`${cwd.replace(/[\\/]$/, '')}/`);
}

/** An address in full. @throws TypeError if it is none */
export function resolveUrl(address: string | URL): URL {
  // Not the object itself: Turbopack's URLs are relative texts in the shape of a URL.
  const text = typeof address === 'string' ? address : address.href;
  // A drive is no protocol.
  if (/^[a-z]:[\\/]/i.test(text)) return new URL(fileUrl(text));
  return new URL(text, pageUrl());
}

/** True for a URL, whichever frame or bundler it comes from. */
export function isUrl(value: unknown): value is URL {
  return typeof value === 'object' && value !== null && typeof (value as { href?: unknown }).href === 'string' && 'searchParams' in value;
}

/** For messages: data URLs can be megabytes long. */
export function shown(url: string | URL): string {
  const text = typeof url === 'string' ? url : url.href;
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}

/** The last part of a path, as people write it. */
export function lastPart(url: URL): string {
  const part = url.pathname.split('/').filter(Boolean).at(-1) ?? url.hostname;
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

function fileUrl(path: string): string {
  const { process } = globalThis as { process?: Process };
  return process?.getBuiltinModule?.('node:url').pathToFileURL(path).href ?? `file://${path.startsWith('/') ? '' : '/'}${encodeURI(path)}`;
}

/** Outside browsers `fetch` has no `file:` URLs. */
export async function readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> {
  interface Files {
    getBuiltinModule?(name: string): { readFile(url: URL): Promise<Uint8Array<ArrayBuffer>> };
  }
  // Not an import, which bundlers for browsers would follow.
  const { process } = globalThis as { process?: Files };
  const files = process?.getBuiltinModule?.('node:fs/promises');
  if (!files) throw new Error(`there is no way to read ${url.href}; Node.js 20.16 or later could`);
  return files.readFile(url);
}
