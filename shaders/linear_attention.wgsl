// y = (q' kv) / (q . mean(k) + 1e-6), divided where NORMALISED == 1; a thread computes four channels of one token.
#import shared/index

// qk, rotated: (B, L, 2 K); rows: (H, K / 2); columns: (W, K / 2); kv: (B * heads, BLOCK4)
@group(0) @binding(0) var<storage, read> qk: array<vec4f>;
@group(0) @binding(1) var<storage, read> rotated: array<vec4f>;
@group(0) @binding(2) var<storage, read> rows: array<vec4f>;
@group(0) @binding(3) var<storage, read> columns: array<vec4f>;
@group(0) @binding(4) var<storage, read> kv: array<vec4f>;
// y: (B, L, C)
@group(0) @binding(5) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(6) var<uniform> params: Params;

#import shared/linear_attention

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let thread = workgroup_index(wid, nwg) * 64u + li;
    let c4 = thread % params.channels4;
    let token = thread / params.channels4;
    let image = token / params.tokens;
    if (image >= params.images) {
        return;
    }
    let head = c4 / HEAD4;
    let block = (image * params.heads + head) * BLOCK4;
    var acc = vec4f(0.0);
    var norm = 0.0;
    for (var i = 0u; i < KEY4; i++) {
        let q_channel4 = head * KEY4 + i;
        let q_at = token * 2u * params.keys4 + q_channel4;
        let q = rotated_at(q_at, token % params.tokens, q_channel4);
        let column = block + i * 4u * HEAD4 + c4 % HEAD4;
        acc = fma(q.xxxx, kv[column], acc);
        acc = fma(q.yyyy, kv[column + HEAD4], acc);
        acc = fma(q.zzzz, kv[column + 2u * HEAD4], acc);
        acc = fma(q.wwww, kv[column + 3u * HEAD4], acc);
        if (NORMALISED == 1u) {
            norm += dot(qk[q_at], kv[block + KEY_DIM * HEAD4 + i]);
        }
    }
    if (NORMALISED == 1u) {
        acc /= norm + 1e-6;
    }
    y[thread] = acc;
}
