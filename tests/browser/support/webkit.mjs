/** WebKitGTK's MiniBrowser on a screen of its own, over plain WebDriver. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { freePort } from './project.mjs';

const DRIVER = process.env.WEBKIT_DRIVER ?? '/usr/bin/WebKitWebDriver';

/** Debian keeps it among the library's own files. */
function miniBrowser() {
  const lib = `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
  const found = existsSync(lib) ? readdirSync(lib).filter((name) => name.startsWith('webkit')).map((name) => join(lib, name, 'MiniBrowser')) : [];
  return found.find((path) => existsSync(path));
}

/**
 * A page of a browser of its own.
 * @param {import('node:test').TestContext} t closes the browser when it is over
 * @returns {Promise<{ goto(url: string): Promise<void>, evaluate(f: Function, ...args: unknown[]): Promise<unknown> }>}
 */
export async function openWebkit(t) {
  const binary = miniBrowser();
  for (const [path, package_] of [[DRIVER, 'webkit2gtk-driver'], [binary ?? 'MiniBrowser', 'webkit2gtk-driver'], ['/usr/bin/Xvfb', 'xvfb']]) {
    if (!existsSync(path)) throw new Error(`there is no ${path}: install Debian's ${package_}`);
  }
  const home = mkdtempSync(join(tmpdir(), 'webmamba-webkit-'));
  const ended = [];
  const start = (program, args, options) => {
    const child = spawn(program, args, options);
    ended.push(() => new Promise((resolve) => {
      child.once('exit', resolve);
      if (child.exitCode !== null || !child.kill()) resolve();
    }));
    return child;
  };
  t.after(async () => {
    for (const end of ended.reverse()) await end();
    rmSync(home, { recursive: true, force: true });
  });
  // The server picks a display that is free, and tells it.
  const screen = start('/usr/bin/Xvfb', ['-displayfd', '3', '-screen', '0', '1280x900x24', '-nolisten', 'tcp'], { stdio: ['ignore', 'ignore', 'ignore', 'pipe'] });
  const display = await new Promise((resolve, reject) => {
    screen.stdio[3].once('data', (text) => resolve(`:${String(text).trim()}`));
    screen.once('exit', (code) => reject(new Error(`Xvfb ended with ${code}`)));
  });
  const port = await freePort();
  const env = {
    ...process.env, DISPLAY: display, HOME: home, XDG_RUNTIME_DIR: home, LIBGL_ALWAYS_SOFTWARE: '1',
    // Its sandbox needs a system bus and user namespaces, which containers have not.
    WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: '1',
  };
  start(DRIVER, [`--port=${port}`], { env, stdio: 'ignore' });
  const ask = async (method, path, body) => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, { method, ...(body && { body: JSON.stringify(body) }) });
    const { value } = await answer.json();
    if (value?.error) throw new Error(`${value.error}: ${value.message}`);
    return value;
  };
  for (let i = 0; i < 200 && !(await ask('GET', '/status').catch(() => undefined)); i++) await new Promise((resolve) => setTimeout(resolve, 100));
  const browserOptions = { binary, args: ['--automation'] };
  const { sessionId } = await ask('POST', '/session', { capabilities: { alwaysMatch: { 'webkitgtk:browserOptions': browserOptions } } });
  const session = `/session/${sessionId}`;
  ended.push(() => ask('DELETE', session).catch(() => undefined));
  await ask('POST', `${session}/timeouts`, { script: 300_000, pageLoad: 120_000 });
  return {
    goto: (url) => ask('POST', `${session}/url`, { url }),
    async evaluate(f, ...args) {
      const script = `const done = arguments[arguments.length - 1];
        (async () => (${f})(...arguments[0]))().then((value) => done({ value }), (error) => done({ error: error.name + ': ' + error.message }));`;
      const { value, error } = await ask('POST', `${session}/execute/async`, { script, args: [args] });
      if (error) throw new Error(error);
      return value;
    },
  };
}
