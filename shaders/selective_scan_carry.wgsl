// Second of three dispatches: the state that each segment starts from. A thread walks the segments of one channel and value.
#import shared/index

struct Params {
    lanes: u32, // B * D * VALUES
    channels: u32,
    segments: u32,
}

// totals: (B, D, segments, 1 + VALUES); a: (D, STATES), rows padded to fours; starts: (B, D, segments, VALUES)
@group(0) @binding(0) var<storage, read> totals: array<f32>;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read_write> starts: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

const A_STRIDE = (STATES + 3u) / 4u * 4u;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let i = workgroup_index(wid, nwg) * 64u + li;
    if (i >= params.lanes) {
        return;
    }
    let n = i % VALUES;
    let lane = i / VALUES;
    var decay = 0.0;
    if (FORGET_GATE == 1u) {
        decay = a[lane % params.channels * A_STRIDE + n % STATES];
    }
    var state = 0.0;
    for (var s = 0u; s < params.segments; s++) {
        let at = lane * params.segments + s;
        starts[at * VALUES + n] = state;
        let total = at * (VALUES + 1u);
        state = totals[total + 1u + n] + exp(totals[total] * decay) * state;
    }
}
