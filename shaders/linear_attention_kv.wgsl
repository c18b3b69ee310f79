// Partial sums over tokens of k'^T v and of k, one workgroup for each image, head and run of tokens.
#import shared/index

// qk, rotated: (B, L, 2 K); v: (B, L, C); rows: (H, K / 2); columns: (W, K / 2)
@group(0) @binding(0) var<storage, read> qk: array<vec4f>;
@group(0) @binding(1) var<storage, read> v: array<vec4f>;
@group(0) @binding(2) var<storage, read> rotated: array<vec4f>;
@group(0) @binding(3) var<storage, read> rows: array<vec4f>;
@group(0) @binding(4) var<storage, read> columns: array<vec4f>;
// partials: (B * heads, splits, BLOCK4)
@group(0) @binding(5) var<storage, read_write> partials: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

#import shared/linear_attention

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let index = workgroup_index(wid, nwg);
    let split = index % params.splits;
    let head = index / params.splits % params.heads;
    let image = index / (params.splits * params.heads);
    if (image >= params.images) {
        return;
    }
    let end = min((split + 1u) * params.split_tokens, params.tokens);
    // A thread owns 4 x 4 products at a time: channels 4 i.. of k' with channels 4 j.. of v.
    for (var tile = li; tile < KEY4 * HEAD4; tile += 64u) {
        let i = tile / HEAD4;
        let j = tile % HEAD4;
        let k_channel4 = head * KEY4 + i;
        var acc: array<vec4f, 4>;
        var sum = vec4f(0.0);
        for (var t = split * params.split_tokens; t < end; t++) {
            let token = image * params.tokens + t;
            let k_at = (token * 2u + 1u) * params.keys4 + k_channel4;
            let k = rotated_at(k_at, t, k_channel4);
            let value = v[token * params.channels4 + head * HEAD4 + j];
            acc[0] = fma(k.xxxx, value, acc[0]);
            acc[1] = fma(k.yyyy, value, acc[1]);
            acc[2] = fma(k.zzzz, value, acc[2]);
            acc[3] = fma(k.wwww, value, acc[3]);
            if (j == 0u) {
                sum += qk[k_at];
            }
        }
        let base = index * BLOCK4;
        for (var r = 0u; r < 4u; r++) {
            partials[base + (i * 4u + r) * HEAD4 + j] = acc[r];
        }
        if (j == 0u) {
            partials[base + KEY_DIM * HEAD4 + i] = sum;
        }
    }
}
