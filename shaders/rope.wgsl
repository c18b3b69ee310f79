// Rotary embedding over a grid of tokens; a thread rotates two pairs of channels.
#import shared/index
#import shared/rope

struct Params {
    images: u32,
    height: u32,
    width: u32,
    channels4: u32, // of one part
    parts: u32,
    table4: u32,
}

// x, y: (B, L, parts * C); rows: (H, C / 2); columns: (W, C / 2): cos, sin
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> rows: array<vec4f>;
@group(0) @binding(2) var<storage, read> columns: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(4) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    let tokens = params.height * params.width;
    let token = i / (params.parts * params.channels4);
    if (token >= params.images * tokens) {
        return;
    }
    y[i] = rotate(x[i], token % tokens, i % params.channels4, params.width, params.channels4, params.table4);
}
