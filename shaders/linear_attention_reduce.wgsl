// Sums the partial products of `linear_attention_kv` over the runs of tokens and divides by the number of tokens.
#import shared/index

struct Params {
    len: u32,
    splits: u32,
    factor: f32,
}

// partials: (B * heads, splits, BLOCK4); kv: (B * heads, BLOCK4)
@group(0) @binding(0) var<storage, read> partials: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> kv: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.len) {
        return;
    }
    let base = i / BLOCK4 * params.splits * BLOCK4 + i % BLOCK4;
    var sum = vec4f(0.0);
    for (var s = 0u; s < params.splits; s++) {
        sum += partials[base + s * BLOCK4];
    }
    kv[i] = sum * params.factor;
}
