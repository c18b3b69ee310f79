// The selective scan of whole sequences (CARRY == 0), or the last of three dispatches over segments of long ones: every segment
// starts from the state that `selective_scan_carry` found for it.
#import shared/scan

// starts: (B, D, segments, S)
@group(0) @binding(5) var<storage, read> starts: array<f32>;
// others: (B, L, W): added to y where SUM == 1
@group(0) @binding(6) var<storage, read> others: array<f32>;
// y: (B, L, W): y in the first D channels, the others copied from xz
@group(0) @binding(7) var<storage, read_write> y: array<f32>;
@group(0) @binding(8) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let run = this_run(workgroup_index(wid, nwg), li);
    load_decay(run.channel);
    prefix_of_runs(run, li);

    // The state before the run: that of the runs before it, joined to what the segment starts from.
    for (var n = 0u; n < STATES; n++) {
        state[n] = 0.0;
        var start = 0.0;
        if (CARRY == 1u) {
            start = starts[((run.image * params.channels + run.channel) * params.segments + run.segment) * STATES + n];
        }
        if (run.chunk == 0u) {
            state[n] = start;
        } else {
            let before = li - CHANNELS;
            state[n] = run_state[n * THREADS + before] + exp(run_delta[before] * decay[n]) * start;
        }
    }
    let skip = vectors[run.channel];
    for (var t = run.begin; t < run.end; t++) {
        let token = token_at(run.image, t);
        let at = token * params.xz_stride + run.channel;
        let u = xz[at];
        let dt = delta_at(token, run.channel);
        advance(token, dt, u);
        let c = token * params.dbl_stride + params.c_offset;
        var sum = skip * u;
        for (var n = 0u; n < STATES; n++) {
            sum += x_dbl[c + n] * state[n];
        }
        if (SUM == 1u) {
            sum += others[at];
        }
        y[at] = sum;
        for (var other = run.channel + params.channels; other < params.xz_stride; other += params.channels) {
            y[token * params.xz_stride + other] = xz[token * params.xz_stride + other];
        }
    }
}
