// What wasm-metadce keeps of a module: its memory, and the functions of these names.
// Usage: node scripts/exported.mjs <function>.. > <graph>
const exports = ['memory', ...process.argv.slice(2)];
const root = { name: 'root', root: true, reaches: exports };
console.log(JSON.stringify([root, ...exports.map((name) => ({ name, export: name }))]));
