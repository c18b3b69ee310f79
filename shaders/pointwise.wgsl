// y = act(a), a + b or a * b by MODE (0, 1, 2); b repeats with a period.
#import shared/index
#import shared/activation

struct Params {
    len4: u32,
    channels: u32,
    period4: u32, // of b
}

// a, y: (.., C); b: (.., C) or (C)
@group(0) @binding(0) var<storage, read> a: array<vec4f>;
@group(0) @binding(1) var<storage, read> b: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.len4) {
        return;
    }
    if (MODE == 1u) {
        y[i] = a[i] + b[i % params.period4];
    } else if (MODE == 2u) {
        y[i] = a[i] * b[i % params.period4];
    } else {
        y[i] = activate_channels(ACT, a[i], i % ((params.channels + 3u) / 4u), params.channels);
    }
}
