// y[k][l] = x[l] . w[class k] + b: how much each position speaks for the best classes (Zhou et al. 2016).
#import shared/index

struct Params {
    images: u32,
    positions: u32,
    channels4: u32,
    classes: u32,
    k: u32,
    stride: u32, // of y
}

// x: (B, L, C); w: panels of eight classes (N / 8, C, 8), as shared/weights tells; b: (N); best: (B, k): probability, class; y: (B, k, L)
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> w: array<vec4u>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read> best: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> params: Params;

#import shared/weights

fn weight_shape() -> vec2u {
    return vec2u(params.channels4, (params.classes + 7u) / 8u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.images * params.k * params.stride) {
        return;
    }
    let position = i % params.stride;
    let row = i / params.stride;
    if (position >= params.positions) {
        y[i] = 0.0;
        return;
    }
    // Where no logit is a number there is no best class, and whoever asked is told so.
    let class_index = min(u32(best[row].y), params.classes - 1u);
    let base = (row / params.k * params.positions + position) * params.channels4;
    let panel = class_index / 8u * params.channels4;
    let column = class_index % 4u;
    var sum = b[class_index];
    for (var c = 0u; c < params.channels4; c++) {
        let lines = weights(panel + c, class_index / 4u % 2u);
        sum += dot(x[base + c], vec4f(lines[0][column], lines[1][column], lines[2][column], lines[3][column]));
    }
    y[i] = sum;
}
