/** Files as `torch.save` writes them, in both containers; see tests/common/pth_writer.rs. */

const CLASSES = { F32: ['FloatStorage', 4], I64: ['LongStorage', 8] };

const u32 = (n) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(n);
  return bytes;
};
const u16 = (n) => u32(n).subarray(0, 2);
const text = (string) => Buffer.concat([Buffer.from('X'), u32(Buffer.byteLength(string)), Buffer.from(string)]);
const int = (n) => Buffer.concat([Buffer.from('J'), u32(n)]);
const ints = (numbers) => Buffer.concat([Buffer.from('('), ...numbers.map(int), Buffer.from('t')]);
const global = (module, name) => Buffer.from(`c${module}\n${name}\n`);
const pickle = (...parts) => Buffer.concat([Buffer.of(0x80, 2), ...parts, Buffer.from('.')]);
const elements = (shape) => shape.reduce((a, b) => a * b, 1);

/** The call that makes a tensor of the storage of this key. */
function tensor({ dtype, shape }, key) {
  const strides = shape.map((_, axis) => elements(shape.slice(axis + 1)));
  return Buffer.concat([
    global('torch._utils', '_rebuild_tensor_v2'), Buffer.from('(('), text('storage'), global('torch', CLASSES[dtype][0]), text(key), text('cpu'),
    int(elements(shape)), Buffer.from('tQ'), int(0), ints(shape), ints(strides), Buffer.of(0x89), global('collections', 'OrderedDict'), Buffer.from(')RtR'),
  ]);
}

/** The object of a file: states by their names, each of the same tensors. */
function object(tensors, states) {
  const dict = (items) => Buffer.concat([Buffer.from('}('), ...items.flat(), Buffer.from('u')]);
  const state = dict(tensors.map((one, i) => [text(one.name), tensor(one, String(i))]));
  return dict(states.map((name) => [text(name), state]));
}

/** A file of today's `torch.save`: an archive that is not compressed, without checksums. */
export function zipFile(tensors, states = ['state_dict']) {
  const files = [['data.pkl', pickle(object(tensors, states))], ...tensors.map(({ bytes }, i) => [`data/${i}`, bytes])];
  const [parts, directory] = [[], []];
  let at = 0;
  for (const [file, bytes] of files) {
    const name = Buffer.from(`archive/${file}`);
    const header = Buffer.concat([u16(20), u16(0), u16(0), u32(0), u32(0), u32(bytes.length), u32(bytes.length), u16(name.length), u16(0)]);
    directory.push(Buffer.from('PK\x01\x02'), u16(20), header, u16(0), u16(0), u16(0), u32(0), u32(at), name);
    const entry = [Buffer.from('PK\x03\x04'), header, name, bytes];
    parts.push(...entry);
    at += Buffer.concat(entry).length;
  }
  const list = Buffer.concat(directory);
  return Buffer.concat([...parts, list, Buffer.from('PK\x05\x06'), u16(0), u16(0), u16(files.length), u16(files.length), u32(list.length), u32(at), u16(0)]);
}

/** A file as `torch.save` wrote them before version 1.6: pickles one after another, then the storages. */
export function legacyFile(tensors, states = ['state_dict']) {
  const magic = Buffer.concat([Buffer.of(0x8a, 10), Buffer.from('6cfc9c46f9206aa85019', 'hex')]);
  const system = Buffer.concat([Buffer.from('}('), text('little_endian'), Buffer.of(0x88), Buffer.from('u')]);
  const keys = Buffer.concat([Buffer.from(']('), ...tensors.map((_, i) => text(String(i))), Buffer.from('e')]);
  const storages = tensors.flatMap(({ shape, bytes }) => [u32(elements(shape)), u32(0), bytes]);
  return Buffer.concat([pickle(magic), pickle(int(1001)), pickle(system), pickle(object(tensors, states)), pickle(keys), ...storages]);
}
