// Patches to tokens: the class token stands behind `at` of them, and positions are added; a thread makes four channels of a token.
#import shared/index

struct Params {
    samples: u32,
    tokens: u32,
    channels4: u32,
    at: u32,
    // Of one frame.
    patches: u32,
}

// patches: (B, tokens - 1, C); class_token: (C); positions: (patches + 1, C); frames: ((tokens - 1) / patches, C)
@group(0) @binding(0) var<storage, read> patches: array<vec4f>;
@group(0) @binding(1) var<storage, read> class_token: array<vec4f>;
@group(0) @binding(2) var<storage, read> positions: array<vec4f>;
@group(0) @binding(3) var<storage, read> frames: array<vec4f>;
// y: (B, tokens, C)
@group(0) @binding(4) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(5) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    let c4 = i % params.channels4;
    let token = i / params.channels4 % params.tokens;
    let sample = i / (params.channels4 * params.tokens);
    if (sample >= params.samples) {
        return;
    }
    if (token == params.at) {
        y[i] = class_token[c4] + positions[token * params.channels4 + c4];
        return;
    }
    let patch_index = token - select(0u, 1u, token > params.at);
    let place = patch_index % params.patches;
    let position = place + select(0u, 1u, place >= params.at);
    let value = patches[(sample * (params.tokens - 1u) + patch_index) * params.channels4 + c4];
    let frame = patch_index / params.patches;
    y[i] = value + positions[position * params.channels4 + c4] + frames[frame * params.channels4 + c4];
}
