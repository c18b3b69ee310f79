/** Which device to run on, and how the page's device gets into the WebAssembly module. */
import { WebGpuUnavailableError } from './errors.js';
import type { DeviceInfo, LoadOptions } from './types.js';
import type { Wasm } from './wasm.js';
import type { WebDevice } from './webmamba.js';

export interface OpenDevice {
  handle: WebDevice;
  /** The page's own view of it; undefined on the CPU. */
  gpu?: GPUDevice;
  /** True when this package made the device, and therefore destroys it. */
  owned: boolean;
  info: DeviceInfo;
}

/** Milliseconds; timers that repeat come no more often. */
const NUDGE = 4;

interface Runtimes {
  process?: { versions?: { node?: string } };
  Deno?: unknown;
  Bun?: unknown;
}

/** What this is, and how one gets WebGPU there. */
function runtime(): [name: string, advice: string] {
  const { process, Deno, Bun } = globalThis as Runtimes;
  const cpu = "or load with `device: 'cpu'`";
  if (Deno) return ['this Deno', `use a current Deno and see that the machine has a graphics driver; ${cpu}`];
  if (Bun || process?.versions?.node) {
    return [Bun ? 'Bun' : 'Node.js', `set \`navigator.gpu\` by a package such as npm's \`webgpu\`; ${cpu}`];
  }
  const browsers = 'use a current Chrome or Edge, Safari 26, or Firefox 141 and later, over https or localhost';
  return ['this browser', `${browsers}, and see that hardware acceleration is on in its settings; ${cpu}`];
}

/** Opens what the options ask for. */
export async function openDevice(wasm: Wasm, options: LoadOptions): Promise<OpenDevice> {
  const wanted = options.device ?? 'auto';
  if (typeof wanted === 'object') {
    const device = wanted as GPUDevice;
    return adopt(wasm, device, device.adapterInfo, "the page's own WebGPU device", false);
  }
  if (wanted === 'cpu') return cpu(wasm, 'the CPU, as asked for');
  if (wanted === 'webgpu') {
    const adapter = await findAdapter(options.powerPreference);
    if (typeof adapter === 'string') throw new WebGpuUnavailableError(`${adapter.charAt(0).toUpperCase()}${adapter.slice(1)}: ${runtime()[1]}.`);
    return open(wasm, adapter, 'WebGPU, as asked for');
  }
  const adapter = await findAdapter(options.powerPreference);
  if (typeof adapter === 'string') return cpu(wasm, `the CPU, as ${adapter}`);
  if (isFallback(adapter.info)) {
    return cpu(wasm, `the CPU, as the only WebGPU adapter is a software one (${describe(adapter.info)}), which is slower`);
  }
  try {
    return await open(wasm, adapter, 'WebGPU');
  } catch (error) {
    return cpu(wasm, `the CPU, as the WebGPU device could not be opened (${(error as Error).message})`);
  }
}

function cpu(wasm: Wasm, reason: string): OpenDevice {
  const info: DeviceInfo = {
    kind: 'cpu', reason, adapter: '', fallback: false, f16: false, subgroups: false, timestamps: false,
  };
  return { handle: wasm.WebDevice.cpu(), owned: true, info };
}

/** An adapter, or why there is none. */
async function findAdapter(powerPreference?: GPUPowerPreference): Promise<GPUAdapter | string> {
  const gpu = (globalThis.navigator as Navigator | undefined)?.gpu;
  if (!gpu) return `${runtime()[0]} has no WebGPU`;
  const options: GPURequestAdapterOptions = powerPreference ? { powerPreference } : {};
  const adapter = (await gpu.requestAdapter(options)) ?? (await gpu.requestAdapter({ forceFallbackAdapter: true }));
  return adapter ?? 'no graphics adapter was found for WebGPU';
}

async function open(wasm: Wasm, adapter: GPUAdapter, reason: string): Promise<OpenDevice> {
  const features: GPUFeatureName[] = ['shader-f16', 'subgroups', 'timestamp-query'];
  const { maxBufferSize, maxStorageBufferBindingSize } = adapter.limits;
  const device = await adapter.requestDevice({
    label: 'webmamba',
    requiredFeatures: features.filter((feature) => adapter.features.has(feature)),
    requiredLimits: { maxBufferSize, maxStorageBufferBindingSize },
  });
  return adopt(wasm, device, adapter.info, reason, true);
}

async function adopt(
  wasm: Wasm,
  device: GPUDevice,
  adapterInfo: GPUAdapterInfo | undefined,
  reason: string,
  owned: boolean,
): Promise<OpenDevice> {
  const subgroups = device.features.has('subgroups');
  const lanes = adapterInfo && adapterInfo.subgroupMinSize === adapterInfo.subgroupMaxSize ? adapterInfo.subgroupMinSize : 0;
  const info: DeviceInfo = {
    kind: 'webgpu',
    reason: `${reason}: ${describe(adapterInfo)}`,
    adapter: describe(adapterInfo),
    fallback: isFallback(adapterInfo),
    f16: device.features.has('shader-f16'),
    subgroups,
    timestamps: device.features.has('timestamp-query'),
  };
  const entry = withGpu(standIn(device, info), () => new wasm.GpuEntry());
  const handle = await entry.open(subgroups ? lanes : 0);
  return { handle, gpu: device, owned, info };
}

/** A `navigator.gpu` whose only adapter hands out a device that exists already. */
function standIn(device: GPUDevice, info: DeviceInfo): unknown {
  const adapter = {
    features: device.features,
    limits: device.limits,
    info: { description: info.adapter, isFallbackAdapter: info.fallback, subgroupMinSize: 0, subgroupMaxSize: 0 },
    requestDevice: () => Promise.resolve(device),
  };
  return { requestAdapter: () => Promise.resolve(adapter), wgslLanguageFeatures: new Set() };
}

/**
 * Runs `f` while `navigator.gpu` is `gpu`. The WebAssembly module's WebGPU library looks there and nowhere else; only in this
 * way can it use a device with features that it does not ask for itself, or one that belongs to the page.
 */
function withGpu<T>(gpu: unknown, f: () => T): T {
  const global = globalThis as unknown as Record<string, unknown>;
  const replaced: [object, string, PropertyDescriptor | undefined][] = [];
  const replace = (target: object, key: string, value: unknown) => {
    replaced.push([target, key, Object.getOwnPropertyDescriptor(target, key)]);
    Object.defineProperty(target, key, { configurable: true, writable: true, value });
  };
  // Outside browsers there may be neither a navigator nor anything that looks like a window.
  if (!('navigator' in global)) replace(global, 'navigator', {});
  if (!('Window' in global) && !('WorkerGlobalScope' in global)) replace(global, 'Window', Object);
  replace(global.navigator as object, 'gpu', gpu);
  try {
    return f();
  } finally {
    for (const [target, key, descriptor] of replaced.reverse()) {
      if (descriptor) Object.defineProperty(target, key, descriptor);
      else Reflect.deleteProperty(target, key);
    }
  }
}

/** What the browser tells of an adapter. */
function describe(info: GPUAdapterInfo | undefined): string {
  if (!info) return 'unknown adapter';
  const parts = [info.description, info.vendor, info.device, info.architecture].filter(Boolean);
  return [...new Set(parts)].join(', ') || 'unknown adapter';
}

/** True for a CPU that plays a GPU. */
function isFallback(info: GPUAdapterInfo | undefined): boolean {
  return info?.isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|basic render/i.test(describe(info));
}

/**
 * Firefox looks only every hundred milliseconds whether the GPU is done, unless something is submitted. Runs `work`, and
 * meanwhile gives it a reason to look.
 */
export async function awake<T>(gpu: GPUDevice | undefined, work: () => Promise<T>): Promise<T> {
  if (!gpu || !/\bGecko\/\d/.test(globalThis.navigator?.userAgent ?? '')) return work();
  const timer = setInterval(() => gpu.queue.submit([]), NUDGE);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
