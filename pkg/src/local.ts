/** What runs and fetches models in this page or worker itself: a file of its own, for which pages whose models run in workers never ask. */
export { LocalEngine } from './engine.js';
export { resolveModel } from './source.js';
export { begun, isTorch, torchModule } from './torch.js';
