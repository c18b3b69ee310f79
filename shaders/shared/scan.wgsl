// The selective scan within a workgroup of CHANNELS x CHUNKS threads: a thread scans a run of `steps` tokens of one channel, all
// STATES at once, and the runs are joined by a parallel prefix over their affine maps h -> exp(A delta_sum) h + h_run.
struct Params {
    images: u32,
    length: u32,
    channels: u32,
    xz_stride: u32,
    delta_stride: u32,
    dbl_stride: u32,
    b_offset: u32,
    c_offset: u32,
    vector_stride: u32,
    segments: u32,
    segment_length: u32,
    steps: u32,
    height: u32, // rows of the map where it is taken column by column
}

// xz: (B, L, W): u is the first D channels
@group(0) @binding(0) var<storage, read> xz: array<f32>;
// delta: (B, L, D), before bias and softplus
@group(0) @binding(1) var<storage, read> delta: array<f32>;
// x_dbl: (B, L, R + 2 S): .., B, C
@group(0) @binding(2) var<storage, read> x_dbl: array<f32>;
// a: (D, S), rows padded to fours
@group(0) @binding(3) var<storage, read> a: array<f32>;
// vectors: (2, D): D, delta_bias
@group(0) @binding(4) var<storage, read> vectors: array<f32>;

#import shared/index
#import shared/softplus

const THREADS = CHANNELS * CHUNKS;
const A_STRIDE = (STATES + 3u) / 4u * 4u;

var<workgroup> run_delta: array<f32, THREADS>;
var<workgroup> run_state: array<f32, THREADS * STATES>;

// Who this thread is: its image, channel, segment and run.
struct Run {
    image: u32,
    channel: u32,
    segment: u32,
    chunk: u32,
    begin: u32, // first step
    end: u32,   // one past the last; equal to `begin` for idle threads, which still meet the barriers
    exists: bool,
}

fn this_run(index: u32, li: u32) -> Run {
    let groups = (params.channels + CHANNELS - 1u) / CHANNELS;
    var run: Run;
    run.chunk = li / CHANNELS;
    run.segment = index % params.segments;
    run.channel = index / params.segments % groups * CHANNELS + li % CHANNELS;
    run.image = index / (params.segments * groups);
    run.begin = run.segment * params.segment_length + run.chunk * params.steps;
    run.end = min(run.begin + params.steps, params.length);
    run.exists = run.channel < params.channels && run.image < params.images;
    if (!run.exists) {
        run.end = run.begin;
        // Idle threads read within bounds.
        run.channel = 0u;
        run.image = 0u;
    }
    return run;
}

// The token that is taken at a step.
fn token_at(image: u32, step: u32) -> u32 {
    var at = step;
    if (REVERSED == 1u) {
        at = params.length - 1u - at;
    }
    if (COLUMNS == 1u) {
        at = at % params.height * (params.length / params.height) + at / params.height;
    }
    return image * params.length + at;
}

var<private> decay: array<f32, STATES>;
var<private> state: array<f32, STATES>;

fn load_decay(channel: u32) {
    for (var n = 0u; n < STATES; n++) {
        decay[n] = a[channel * A_STRIDE + n];
    }
}

fn delta_at(token: u32, channel: u32) -> f32 {
    return softplus(delta[token * params.delta_stride + channel] + vectors[params.vector_stride + channel]);
}

// One step of all states.
fn advance(token: u32, dt: f32, u: f32) {
    let b = token * params.dbl_stride + params.b_offset;
    for (var n = 0u; n < STATES; n++) {
        state[n] = exp(dt * decay[n]) * state[n] + dt * u * x_dbl[b + n];
    }
}

// Scans the run from a zero state and leaves, for every chunk, the map of all runs up to and including it.
fn prefix_of_runs(run: Run, li: u32) {
    var sum = 0.0;
    for (var n = 0u; n < STATES; n++) {
        state[n] = 0.0;
    }
    for (var t = run.begin; t < run.end; t++) {
        let token = token_at(run.image, t);
        let dt = delta_at(token, run.channel);
        sum += dt;
        advance(token, dt, xz[token * params.xz_stride + run.channel]);
    }
    run_delta[li] = sum;
    for (var n = 0u; n < STATES; n++) {
        run_state[n * THREADS + li] = state[n];
    }
    // Hillis and Steele's inclusive prefix: the earlier map is applied first.
    for (var reach = 1u; reach < CHUNKS; reach *= 2u) {
        workgroupBarrier();
        let joins = run.chunk >= reach;
        let earlier = select(li, li - reach * CHANNELS, joins);
        let earlier_delta = run_delta[earlier];
        for (var n = 0u; n < STATES; n++) {
            state[n] = run_state[n * THREADS + earlier];
        }
        workgroupBarrier();
        if (joins) {
            let own = run_delta[li];
            run_delta[li] = own + earlier_delta;
            for (var n = 0u; n < STATES; n++) {
                run_state[n * THREADS + li] += exp(own * decay[n]) * state[n];
            }
        }
    }
    workgroupBarrier();
}
