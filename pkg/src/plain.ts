/** Errors on their ways: from the WebAssembly module, and between a worker and the page. */
import {
  DeviceLostError, DisposedError, DownloadError, InvalidImageError, InvalidOptionError, OutOfMemoryError,
  UnsupportedCheckpointError, WebGpuUnavailableError, WebmambaError, WorkerError,
} from './errors.js';

type ErrorClass = new (message: string, options?: ErrorOptions & { details?: readonly string[] }) => WebmambaError;

const CLASSES: Record<string, ErrorClass> = {
  WebmambaError, WebGpuUnavailableError, OutOfMemoryError, DeviceLostError, UnsupportedCheckpointError, InvalidImageError,
  InvalidOptionError, DownloadError, DisposedError, WorkerError,
};

/** The classes by the crate's kinds of errors, which the WebAssembly module gives as `code`. */
const BY_CODE: Record<string, ErrorClass> = {
  'invalid-image': InvalidImageError,
  'unsupported-checkpoint': UnsupportedCheckpointError,
  'invalid-argument': InvalidOptionError,
  'no-adapter': WebGpuUnavailableError,
  'out-of-memory': OutOfMemoryError,
  'device-lost': DeviceLostError,
};

/** An error of the WebAssembly module as one of the package's classes; others stay what they are. */
export function typed(error: unknown): unknown {
  if (error instanceof WebmambaError) return error;
  if (error instanceof WebAssembly.RuntimeError) {
    // A trap: Rust cannot unwind here, so the module's memory may be inconsistent from now on.
    const memory = /memory|grow|allocat/i.test(error.message);
    const Class = memory ? OutOfMemoryError : WebmambaError;
    return new Class(`The WebAssembly module stopped (${error.message}); reload the page.`, { cause: error });
  }
  if (error instanceof RangeError && /memory|array buffer/i.test(error.message)) {
    return new OutOfMemoryError(`The page has no memory left for this (${error.message}).`, { cause: error });
  }
  const code = (error as { code?: unknown } | null)?.code;
  if (error instanceof Error && typeof code === 'string') {
    const Class = BY_CODE[code] ?? WebmambaError;
    return new Class(error.message, { cause: error });
  }
  return error;
}

/** An error as data. */
export interface PlainError {
  name: string;
  message: string;
  details: readonly string[];
}

export function toPlain(error: unknown): PlainError {
  const known = typed(error);
  const details = known instanceof WebmambaError ? known.details : [];
  return known instanceof Error || known instanceof DOMException
    ? { name: known.name, message: known.message, details }
    : { name: 'Error', message: String(known), details };
}

export function fromPlain({ name, message, details }: PlainError): Error {
  const Class = Object.hasOwn(CLASSES, name) ? CLASSES[name] : undefined;
  if (Class) return new Class(message, details.length ? { details } : {});
  if (name === 'AbortError') return new DOMException(message, name);
  const error = new Error(message);
  error.name = name;
  return error;
}
