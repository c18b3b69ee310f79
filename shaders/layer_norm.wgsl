// y = (x - mean) / sqrt(var + eps) * weight + bias over the channels of a row; TEAM threads share a row. With CENTRED == 0 the mean
// counts as zero, which is the norm by the root of the mean square.
// The mean comes first and the variance from centred values: one pass over E[x^2] would cancel.
#import shared/index
#import shared/padding

struct Params {
    rows: u32,
    channels: u32,
    eps: f32,
}

// x, y: (rows, C); vectors: (2, C): weight, bias
@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read> vectors: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(3) var<uniform> params: Params;

var<workgroup> partial: array<f32, 64>;

// Sum of `value` over the team of this thread. Every thread of the workgroup takes part.
fn team_sum(li: u32, value: f32) -> f32 {
    if (TEAM == 1u) {
        return value;
    }
    workgroupBarrier();
    partial[li] = value;
    for (var half = TEAM / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        let other = partial[li ^ half];
        workgroupBarrier();
        partial[li] += other;
    }
    return partial[li];
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let row = workgroup_index(wid, nwg) * (64u / TEAM) + li / TEAM;
    let lane = li % TEAM;
    let channels4 = (params.channels + 3u) / 4u;
    // Threads past the last row go along without reading, so that the barriers stay uniform.
    let end = select(0u, channels4, row < params.rows);
    let base = row * channels4;

    var mean = 0.0;
    if (CENTRED == 1u) {
        var sum = vec4f(0.0);
        for (var c = lane; c < end; c += TEAM) {
            sum += unpadded(x[base + c], c, params.channels);
        }
        mean = team_sum(li, dot(sum, vec4f(1.0))) / f32(params.channels);
    }
    var squares = vec4f(0.0);
    for (var c = lane; c < end; c += TEAM) {
        let centred = unpadded(x[base + c] - mean, c, params.channels);
        squares += centred * centred;
    }
    let variance = team_sum(li, dot(squares, vec4f(1.0))) / f32(params.channels);
    let scale = 1.0 / sqrt(variance + params.eps);
    for (var c = lane; c < end; c += TEAM) {
        y[base + c] = unpadded((x[base + c] - mean) * scale * vectors[c] + vectors[channels4 + c], c, params.channels);
    }
}
