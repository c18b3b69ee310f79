// y = (x - mean) / sqrt(var + eps) * weight + bias.
#import shared/index
#import shared/padding

struct Params {
    len4: u32,
    channels: u32,
    eps: f32,
}

// x, y: (.., C); vectors: (4, C): weight, bias, running_mean, running_var
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> vectors: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.len4) {
        return;
    }
    let n = (params.channels + 3u) / 4u;
    let c = i % n;
    // In the padding 0 / 0 where eps is zero.
    let scale = vectors[c] / sqrt(vectors[3u * n + c] + params.eps);
    y[i] = unpadded((x[i] - vectors[2u * n + c]) * scale + vectors[n + c], c, params.channels);
}
