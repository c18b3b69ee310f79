// One token of each sequence: a thread copies four channels.
#import shared/index

struct Params {
    images: u32,
    tokens: u32,
    channels4: u32,
    at: u32,
}

// x: (B, L, C); y: (B, C)
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    let image = i / params.channels4;
    if (image >= params.images) {
        return;
    }
    y[i] = x[(image * params.tokens + params.at) * params.channels4 + i % params.channels4];
}
