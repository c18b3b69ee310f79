// First of three dispatches over a long sequence: the map of every segment.
#import shared/scan

// totals: (B, D, segments, 1 + VALUES): the sum of delta, then the values from a zero start
@group(0) @binding(6) var<storage, read_write> totals: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let run = this_run(workgroup_index(wid, nwg), li);
    load_decay(run.channel);
    prefix_of_runs(run, li);
    // The last chunk holds the whole segment.
    if (run.chunk == CHUNKS - 1u && run.exists) {
        let base = ((run.image * params.channels + run.channel) * params.segments + run.segment) * (VALUES + 1u);
        totals[base] = run_delta[li];
        for (var n = 0u; n < VALUES; n++) {
            totals[base + 1u + n] = run_state[n * THREADS + li];
        }
    }
}
