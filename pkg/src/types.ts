/** What goes in and what comes out: the types of the whole package. */

/** Names of the models inside the package; the first is the default. */
export type BuiltinModel = 'mamba_vision_nano' | 'mila_nano';

/** The WebAssembly module: its address, its bytes, or compiled. */
export type WasmSource = string | URL | BufferSource | WebAssembly.Module;

export interface InitOptions {
  /**
   * The folder with the package's files: `webmamba_bg.wasm`, `webmamba_relaxed_bg.wasm`, `webmamba_torch.wasm`, `worker-thread.js` and
   * `models/`, as they lie in its `dist`. By default the folder of this module, which bundlers keep track of where they follow `new URL(.., import.meta.url)`.
   */
  base?: string | URL;
  /** The WebAssembly module alone. */
  wasm?: WasmSource;
}

/** A WebGPU device: what the package needs to know of a `GPUDevice`, so that its types ask for no others. */
export interface WebGpuDevice {
  readonly features: { has(name: string): boolean };
  readonly limits: object;
  readonly queue: object;
  readonly lost: Promise<{ readonly message: string }>;
  destroy(): unknown;
}

/** A file's contents, or where they are. */
export type FileSource = string | URL | Blob | ArrayBuffer | Uint8Array;

/**
 * Which model to load:
 * - the name of a built-in one (`'mamba_vision_nano'`, `'mila_nano'`),
 * - a hub id such as `'nvidia/MambaVision-T-1K'`, or the address of a page of it (`https://huggingface.co/owner/name`, also of a
 *   branch or of a file),
 * - the URL of a folder with `config.json` and `model.safetensors`, or
 * - files: weights (`.safetensors`, `.pth`, `.pth.tar`) and, unless `arch` or the tensors' shapes tell the variant, a config.
 */
export type ModelSource =
  | BuiltinModel
  | (string & {})
  | URL
  | { weights: FileSource; config?: FileSource | Record<string, unknown>; arch?: string; name?: string };

/**
 * What can be classified. `Blob`, `File`, URLs and the bytes of a file are decoded by the browser, and outside of browsers by the
 * package; of a camera it is the next frame.
 */
export type ImageSource =
  | HTMLImageElement
  | HTMLVideoElement
  | HTMLCanvasElement
  | OffscreenCanvas
  | ImageBitmap
  | VideoFrame
  | ImageData
  | { data: Uint8Array | Uint8ClampedArray; width: number; height: number }
  | MediaStreamTrack
  | MediaStream
  | Blob
  | ArrayBuffer
  | Uint8Array
  | string
  | URL;

/** What can be watched. Of a stream the frames are read and closed; in workers a camera needs `MediaStreamTrackProcessor`. */
export type VideoSource = HTMLVideoElement | MediaStreamTrack | MediaStream | ReadableStream<VideoFrame>;

/** A part of an image, in its own pixels. */
export interface Region {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** A step of loading. `loaded` and `total` count bytes (`download`, `upload`) or kernels (`compile`); `total` is 0 while unknown. */
export interface ProgressEvent {
  phase: 'download' | 'upload' | 'compile' | 'warmup' | 'ready';
  loaded: number;
  total: number;
  /** The file that is being downloaded. */
  file?: string;
}

/** Where hub ids lead to. */
export interface HubOptions {
  /** Hub ids are resolved as `<baseUrl>/<id>/resolve/<revision>/<file>`. Default `https://huggingface.co`. */
  baseUrl?: string | URL;
  /** Branch, tag or commit of a hub id. Default `main`. */
  revision?: string;
}

/** How a model's files are asked for. */
export interface FetchOptions {
  /** Sent with every request for the model's files, such as `{ authorization: 'Bearer ..' }` for a private one. */
  headers?: Record<string, string>;
  /** Asks for the model's files in place of the browser's own `fetch`. Cannot go to a worker. */
  fetch?: typeof fetch;
}

export interface PreloadOptions extends HubOptions, FetchOptions {
  onProgress?: (event: ProgressEvent) => void;
  signal?: AbortSignal;
}

/** A file of a model in the browser's cache. */
export interface CachedFile {
  url: string;
  /** Bytes that are there. */
  bytes: number;
  /** Bytes of the whole file. */
  total: number;
}

export interface LoadOptions extends HubOptions, FetchOptions {
  /** `'webgpu'`, `'cpu'`, a device of your own, or `'auto'`: a real GPU where there is one, else the CPU (see {@link ModelInfo}). */
  device?: 'auto' | 'webgpu' | 'cpu' | WebGpuDevice;
  /** Passed on to `requestAdapter`. */
  powerPreference?: 'high-performance' | 'low-power';
  /** `'auto'` takes weights as they are stored. Activations are always F32. */
  dtype?: 'auto';
  /** Keeps downloaded files in the browser's Cache API, so that a second load needs no network. Default true. */
  cache?: boolean;
  /** Takes the model's files from the cache alone, and asks no server whether they are current. Default false. */
  offline?: boolean;
  /** Class names in order, instead of those of the config. */
  labels?: readonly string[];
  /**
   * Input size in pixels: a square's side or `[height, width]`. Default: the model's own. Of dense models the limit of an image's shorter
   * side, or of both: smaller is faster and coarser.
   */
  size?: number | readonly [number, number];
  /**
   * Path of the weights in a checkpoint with several states, such as `'state_dict'`. Default: averaged weights (`'model_ema'`, ..)
   * where there are any, then the usual names; what was chosen stands in {@link ModelInfo.assumptions}.
   */
  state?: string;
  /** Allows dense models that attend over windows so large that an image takes minutes. Default false: they are refused with their cost. */
  large?: boolean;
  /** Runs everything in a worker, so that the page never waits. */
  worker?: boolean;
  onProgress?: (event: ProgressEvent) => void;
  signal?: AbortSignal;
}

export interface ClassifyOptions {
  /** How many classes to return. Default 5. */
  topK?: number;
  /** Leaves out predictions with a lower score. Default 0. */
  threshold?: number;
  /** Labels of the only classes to return. Scores stay what they are among all classes. */
  allow?: readonly string[];
  /** Labels of classes that are not returned. */
  deny?: readonly string[];
  /** The part of the image to look at; all of it by default. */
  region?: Region;
  /** Degrees by which the image, or its region, is turned clockwise before it is looked at: for cameras that lie on a side. */
  rotation?: Rotation;
  /** Adds a {@link Heatmap}: of the best class that is returned (`true`), or of a class by its label or index. */
  heatmap?: boolean | string | number;
  signal?: AbortSignal;
}

/** The same for every frame. */
export type ClipOptions = Omit<ClassifyOptions, 'heatmap'>;

/**
 * What a map shows: how much each position speaks for the best class (`'cam'`), and of a layer's scans how large a step they take at a
 * token (`'delta'`, the input gate), how much of the state outlasts it (`'forget'`, the forget gate), or its share in what they give to the
 * pooled feature (`'contribution'`). `docs/EXPLAIN.md` of the repository has the equations.
 */
export type MapKind = 'cam' | 'delta' | 'forget' | 'contribution';

export interface ExplainOptions extends EmbedOptions {
  /** `'cam'` where `info.maps` is true; the others where `info.layers` has any. */
  kind: MapKind;
  /** The layer whose scans are shown: one of `info.layers`. Default: the last one. */
  layer?: string;
}

/** Degrees, clockwise. */
export type Rotation = 0 | 90 | 180 | 270;

export interface EmbedOptions {
  /** The part of the image to look at; all of it by default. */
  region?: Region;
  /** Degrees by which the image, or its region, is turned clockwise before it is looked at. */
  rotation?: Rotation;
  signal?: AbortSignal;
}

export type SegmentOptions = EmbedOptions;

export interface SegmentVideoOptions extends SegmentOptions {
  /** Upper bound of frames a second; by default every frame that the device keeps up with. */
  maxFps?: number;
}

export interface VideoOptions extends ClassifyOptions {
  /** Upper bound of frames a second; by default every frame that the device keeps up with. */
  maxFps?: number;
  /** Weight of the past in the shown scores, 0 (none, the default) to below 1: an exponential moving average over frames. */
  smoothing?: number;
}

export interface Prediction {
  /** Class index. */
  index: number;
  /** Class name; the index as text where the model has no labels. */
  label: string;
  /** Probability, calibrated where the model's config has a temperature. */
  score: number;
}

/** Milliseconds of each step. On a GPU the steps are queued, and `model` ends when the result is there. */
export interface Timing {
  /** Getting at the pixels: decoding, copying to the device. */
  capture: number;
  /** Resize, crop and normalise; part of `model` on a GPU, where it is 0. */
  preprocess: number;
  /** From submission to the result on the device or CPU. */
  model: number;
  /** From there to JavaScript. */
  readback: number;
  total: number;
}

/** How much each position speaks for a class (class activation map): the head's weights on the last stage's features. */
export interface Heatmap {
  /** The class it is of. */
  index: number;
  width: number;
  height: number;
  /** Row-major; in logits, so that the mean over all positions is the class's logit. */
  values: Float32Array;
  /** The part of the image that the map covers, in pixels of the image (what the centre crop kept). */
  region: Region;
}

/** What a model looked at, as one value for each position. */
export interface Explanation {
  kind: MapKind;
  /** The layer of the scans; null of class activation maps. */
  layer: string | null;
  /** The class of a class activation map. */
  index?: number;
  width: number;
  height: number;
  /** Row by row. */
  values: Float32Array;
  /** The part of the image that the map covers, in its pixels. */
  region: Region;
}

/** Of one of the frames that a model of clips looks at. */
export interface FrameExplanation extends Explanation {
  /** Which frame of the film it is. */
  frame: number;
}

export interface Classification {
  /** Best first. */
  predictions: Prediction[];
  /**
   * Whether the best class is an answer: it is not the one that stands for everything else, and its score is at least
   * {@link ModelInfo.minScore}. Always true of models whose config says nothing of either.
   */
  confident: boolean;
  timing: Timing;
  heatmap?: Heatmap;
}

export interface VideoClassification extends Classification {
  /** Frames that were classified so far. */
  frame: number;
  /** Classified frames a second, over the last second or so. */
  fps: number;
}

/** The classes of an image's pixels. */
export interface Segmentation {
  /** The class of every pixel, row by row. */
  classMap: Uint8Array;
  /** Of the map: those of the image, or of the region, turned where that was asked for. */
  width: number;
  height: number;
  /** Names of all classes. */
  labels: readonly string[];
  /** The classes that there are, with the share of the pixels that each has (0 to 1), the largest first. */
  shares: { index: number; label: string; share: number }[];
  timing: Timing;
}

/** What image an input of a dense model is of. */
export interface PreparedOptions {
  width: number;
  height: number;
  /** Modules of the checkpoint whose results are wanted too, such as `outnorm0` or `decode_head.fpn_bottleneck.activate`. */
  tensors?: string[];
  signal?: AbortSignal;
}

export interface PreparedSegmentation extends Segmentation {
  /** `(1, classes, h, w)`: before they are resized to the input's size, and then to the image's. */
  logits: HostTensor;
  /** What the named modules computed: maps `(1, C, h, w)`. */
  tensors: Record<string, HostTensor>;
}

export interface VideoSegmentation extends Segmentation {
  /** Frames that were segmented so far. */
  frame: number;
  /** Segmented frames a second, over the last second or so. */
  fps: number;
}

/** What a taught class is remembered by. */
export interface Lesson {
  /** `info.name` of the model that saw the examples. */
  model: string;
  classes: {
    label: string;
    /** Examples. */
    count: number;
    /** The sum of their vectors. */
    sum: number[];
  }[];
}

export interface TaughtClassification {
  /** All taught classes, best first. */
  predictions: {
    label: string;
    /** By softmax over the taught classes. */
    score: number;
    /** Of the image to the mean of the class's examples, -1 to 1; low where it is like none of them. */
    similarity: number;
  }[];
}

/** A tensor on the host, row-major. */
export interface HostTensor {
  shape: number[];
  data: Float32Array;
}

export interface Features {
  /** Input of the head. `(1, C)`. */
  pooled: HostTensor;
  /** Outputs of the stages, of which nearly all networks have four: `(1, C, H, W)` (MambaVision, VMamba), `(1, H, W, C)` (MambaOut, VMamba's first generation) or tokens `(1, L, C)` (MILA, Vim, VideoMamba). */
  stages: HostTensor[];
  /** `(1, classes)`. */
  logits: HostTensor;
}

export interface ModelInfo {
  /** Variant, such as `mamba_vision_t`. */
  name: string;
  family: string;
  parameters: number;
  classes: number;
  /** Height and width of the input in pixels; of dense models the limits that images are scaled to. */
  size: [number, number];
  /** Frames that a model of clips looks at in one call of `classifyClip`; 1 for models of images. */
  frames: number;
  /** Whether the model has heat maps. */
  maps: boolean;
  /** Names of the layers whose scans `explain` can show, in the order in which images pass them. */
  layers: readonly string[];
  /** Multiply-adds an image, or a clip. */
  macs: number;
  labels: readonly string[];
  /** A best class with a lower score is no answer; 0 where the model's config says nothing. */
  minScore: number;
  /** The class that stands for everything that is none of the others, if there is one: never an answer. */
  unknown: number | null;
  /** A colour for each class, as class maps are drawn; null for models that tell no classes of pixels. */
  palette: [number, number, number][] | null;
  /** What is known of the terms of the weights. */
  licence: string;
  /** What had to be assumed or was passed over: sizes that the config does not have, the state that was chosen, keys of no model. */
  assumptions: string[];
  device: DeviceInfo;
  /** Bytes: weights and activations on the device, and all of the WebAssembly memory. */
  memory: { weights: number; activations: number; wasm: number };
  /** Kernel launches an image. */
  dispatches: number;
}

export interface DeviceInfo {
  kind: 'webgpu' | 'cpu';
  /** Which device and why, as the end of a sentence that begins with "Runs on". */
  reason: string;
  /** The adapter as the browser names it; empty on the CPU. */
  adapter: string;
  /** True for a CPU that plays a GPU. */
  fallback: boolean;
  f16: boolean;
  subgroups: boolean;
  timestamps: boolean;
}

/** One kernel launch or operator. */
export interface ProfileEntry {
  op: string;
  kernel: string;
  node: string;
  /** Milliseconds. */
  ms: number;
}
