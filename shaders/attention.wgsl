// softmax(q k^T scale) v: a thread owns one query of one head and meets the keys in tiles that pass through workgroup memory,
// keeping a running maximum and sum (online softmax: Milakov and Gimelshein 2018), so no score matrix is stored.
#import shared/index

struct Params {
    sequences: u32,
    length: u32,
    heads: u32,
    qkv_stride: u32,
    out_stride: u32,
    channels: u32,
    scale: f32,
}

// qkv: (B, L, 3 C); y: (B, L, C). Scalars, as heads may start at any channel.
@group(0) @binding(0) var<storage, read> qkv: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;

const QUERIES = 64u;
const KEYS = 8u;
const HEAD4 = (HEAD_DIM + 3u) / 4u;

var<workgroup> keys: array<vec4f, KEYS * HEAD4>;
var<workgroup> values: array<vec4f, KEYS * HEAD4>;

// Four channels of a head; those past its end are zero.
fn load(base: u32, d4: u32) -> vec4f {
    let d = d4 * 4u;
    if (d + 3u < HEAD_DIM) {
        return vec4f(qkv[base + d], qkv[base + d + 1u], qkv[base + d + 2u], qkv[base + d + 3u]);
    }
    var v = vec4f(0.0);
    for (var i = 0u; d + i < HEAD_DIM; i++) {
        v[i] = qkv[base + d + i];
    }
    return v;
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let blocks = (params.length + QUERIES - 1u) / QUERIES;
    let index = workgroup_index(wid, nwg);
    let row = index % blocks * QUERIES + li;
    let head = index / blocks % params.heads;
    let sequence = index / (blocks * params.heads);
    // Uniform over the workgroup: surplus workgroups of a folded grid leave together.
    if (sequence >= params.sequences) {
        return;
    }
    let first = sequence * params.length * params.qkv_stride + head * HEAD_DIM;
    let real = row < params.length; // a query, not a thread past the last one

    var query: array<vec4f, HEAD4>;
    var acc: array<vec4f, HEAD4>;
    for (var d = 0u; d < HEAD4; d++) {
        // Threads past the last query repeat it and store nothing.
        query[d] = load(first + min(row, params.length - 1u) * params.qkv_stride, d) * params.scale;
    }
    var top = -3.0e38;
    var sum = 0.0;
    for (var start = 0u; start < params.length; start += KEYS) {
        workgroupBarrier();
        for (var i = li; i < KEYS * HEAD4; i += QUERIES) {
            let key = start + i / HEAD4;
            if (key < params.length) {
                let at = first + key * params.qkv_stride + params.channels;
                keys[i] = load(at, i % HEAD4);
                values[i] = load(at + params.channels, i % HEAD4);
            }
        }
        workgroupBarrier();
        let count = min(KEYS, params.length - start);
        var scores: array<f32, KEYS>;
        var tile_top = top;
        for (var k = 0u; k < count; k++) {
            var products = vec4f(0.0);
            for (var d = 0u; d < HEAD4; d++) {
                products = fma(query[d], keys[k * HEAD4 + d], products);
            }
            scores[k] = dot(products, vec4f(1.0));
            tile_top = max(tile_top, scores[k]);
        }
        let rescale = exp(top - tile_top);
        top = tile_top;
        sum *= rescale;
        for (var d = 0u; d < HEAD4; d++) {
            acc[d] *= rescale;
        }
        for (var k = 0u; k < count; k++) {
            let weight = exp(scores[k] - top);
            sum += weight;
            for (var d = 0u; d < HEAD4; d++) {
                acc[d] = fma(vec4f(weight), values[k * HEAD4 + d], acc[d]);
            }
        }
    }
    if (real) {
        let base = (sequence * params.length + row) * params.out_stride + head * HEAD_DIM;
        for (var d = 0u; d < HEAD_DIM; d++) {
            y[base + d] = acc[d / 4u][d % 4u] / sum;
        }
        // The last head also clears the padding of the row.
        if (head == params.heads - 1u) {
            for (var c = params.channels; c < params.out_stride; c++) {
                y[base - head * HEAD_DIM + c] = 0.0;
            }
        }
    }
}
