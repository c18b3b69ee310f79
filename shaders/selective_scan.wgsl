// The selective scan of whole sequences (CARRY == 0), or the last of three dispatches over segments of long ones: every segment
// starts from the state that `selective_scan_carry` found for it.
#import shared/scan

// starts: (B, D, segments, VALUES)
@group(0) @binding(6) var<storage, read> starts: array<f32>;
// y: (B, L, W): y in the first D channels, the others copied from xz
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let run = this_run(workgroup_index(wid, nwg), li);
    load_decay(run.channel);
    if (CHUNKS > 1u) {
        prefix_of_runs(run, li);
    }

    // The state before the run: that of the runs before it, joined to what the segment starts from.
    for (var n = 0u; n < VALUES; n++) {
        state[n] = 0.0;
        var start = 0.0;
        if (CARRY == 1u) {
            start = starts[((run.image * params.channels + run.channel) * params.segments + run.segment) * VALUES + n];
        }
        if (run.chunk == 0u) {
            state[n] = start;
        } else {
            let before = li - CHANNELS;
            state[n] = run_state[n * THREADS + before] + left(run_delta[before], n) * start;
        }
    }
    let skip = vectors[run.channel];
    for (var t = run.begin; t < run.end; t++) {
        let token = token_at(run.image, t);
        let at = token * params.xz_stride + run.channel;
        let u = xz[at];
        advance(run, token, delta_at(token, run.channel), u);
        let c = token * params.bc_stride + params.c_offset + run.states;
        var sum = 0.0;
        for (var n = 0u; n < STATES; n++) {
            sum += turned(c + n) * state[n];
        }
        if (VALUES > STATES) {
            var norm = 1e-6;
            for (var n = 0u; n < STATES; n++) {
                norm += bc[c + n] * state[VALUES - STATES + n];
            }
            sum /= norm;
        }
        sum += skip * u;
        if (SUM == 1u) {
            sum += more[at];
        }
        y[at] = sum;
        for (var other = run.channel + params.channels; other < params.xz_stride; other += params.channels) {
            y[token * params.xz_stride + other] = xz[token * params.xz_stride + other];
        }
    }
}
