// y = mean of x over all positions; a thread sums four channels.
#import shared/index

struct Params {
    images: u32,
    positions: u32,
    channels4: u32,
}

// x: (B, positions, C); y: (B, C)
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.images * params.channels4) {
        return;
    }
    let base = i / params.channels4 * params.positions * params.channels4 + i % params.channels4;
    var sum = vec4f(0.0);
    for (var p = 0u; p < params.positions; p++) {
        sum += x[base + p * params.channels4];
    }
    y[i] = sum / f32(params.positions);
}
