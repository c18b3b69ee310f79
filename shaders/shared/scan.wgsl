// The selective scan within a workgroup of CHANNELS x CHUNKS threads: a thread scans a run of `steps` tokens of one channel, all
// VALUES at once, and the runs are joined by a parallel prefix over their affine maps h -> exp(A delta_sum) h + h_run. The values are the
// STATES and, of a normalised scan, as many of its normaliser behind them.
struct Params {
    images: u32,
    length: u32,
    channels: u32,
    xz_stride: u32,
    delta_stride: u32,
    bc_stride: u32,
    b_offset: u32,
    c_offset: u32,
    group: u32, // channels that share their B and C
    vector_stride: u32,
    segments: u32,
    segment_length: u32,
    steps: u32,
    height: u32, // rows of the map where it is taken column by column
}

// xz: (B, L, W): u is the first D channels
@group(0) @binding(0) var<storage, read> xz: array<f32>;
// delta: (B, L, D), before bias and softplus, with an input or forget gate
@group(0) @binding(1) var<storage, read> delta: array<f32>;
// bc: (B, L, ..): from b_offset on B, then C, each (G, S)
@group(0) @binding(2) var<storage, read> bc: array<f32>;
// a: (D, S), rows padded to fours
@group(0) @binding(3) var<storage, read> a: array<f32>;
// vectors: (2, D): D, delta_bias
@group(0) @binding(4) var<storage, read> vectors: array<f32>;
// more: bc as the numerator has it where ROTATED == 1, others (B, L, W) to add to y where SUM == 1
@group(0) @binding(5) var<storage, read> more: array<f32>;

#import shared/index
#import shared/softplus

const THREADS = CHANNELS * CHUNKS;
const A_STRIDE = (STATES + 3u) / 4u * 4u;

var<workgroup> run_delta: array<f32, THREADS>;
var<workgroup> run_state: array<f32, THREADS * VALUES>;

// Who this thread is: its image, channel, segment and run.
struct Run {
    image: u32,
    channel: u32,
    states: u32, // where those of its group are in B and in C
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
    run.states = run.channel / params.group * STATES;
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
var<private> state: array<f32, VALUES>;

fn load_decay(channel: u32) {
    if (FORGET_GATE == 1u) {
        for (var n = 0u; n < STATES; n++) {
            decay[n] = a[channel * A_STRIDE + n];
        }
    }
}

// What is left of a value after steps of this sum.
fn left(dt: f32, n: u32) -> f32 {
    if (FORGET_GATE == 1u) {
        return exp(dt * decay[n % STATES]);
    }
    return 1.0;
}

fn delta_at(token: u32, channel: u32) -> f32 {
    if (INPUT_GATE == 0u && FORGET_GATE == 0u) {
        return 0.0;
    }
    return softplus(delta[token * params.delta_stride + channel] + vectors[params.vector_stride + channel]);
}

// A value of B or C, as the numerator has it.
fn turned(at: u32) -> f32 {
    if (ROTATED == 1u) {
        return more[at];
    }
    return bc[at];
}

// One step of all values.
fn advance(run: Run, token: u32, dt: f32, u: f32) {
    let b = token * params.bc_stride + params.b_offset + run.states;
    var input = u;
    if (INPUT_GATE == 1u) {
        input = dt * u;
    }
    for (var n = 0u; n < STATES; n++) {
        let kept = left(dt, n);
        state[n] = kept * state[n] + input * turned(b + n);
        if (VALUES > STATES) {
            state[VALUES - STATES + n] = kept * state[VALUES - STATES + n] + bc[b + n];
        }
    }
}

// Scans the run from zeros and leaves, for every chunk, the map of all runs up to and including it.
fn prefix_of_runs(run: Run, li: u32) {
    var sum = 0.0;
    for (var n = 0u; n < VALUES; n++) {
        state[n] = 0.0;
    }
    for (var t = run.begin; t < run.end; t++) {
        let token = token_at(run.image, t);
        let dt = delta_at(token, run.channel);
        sum += dt;
        advance(run, token, dt, xz[token * params.xz_stride + run.channel]);
    }
    run_delta[li] = sum;
    for (var n = 0u; n < VALUES; n++) {
        run_state[n * THREADS + li] = state[n];
    }
    // Hillis and Steele's inclusive prefix: the earlier map is applied first.
    for (var reach = 1u; reach < CHUNKS; reach *= 2u) {
        workgroupBarrier();
        let joins = run.chunk >= reach;
        let earlier = select(li, li - reach * CHANNELS, joins);
        let earlier_delta = run_delta[earlier];
        for (var n = 0u; n < VALUES; n++) {
            state[n] = run_state[n * THREADS + earlier];
        }
        workgroupBarrier();
        if (joins) {
            let own = run_delta[li];
            run_delta[li] = own + earlier_delta;
            for (var n = 0u; n < VALUES; n++) {
                run_state[n * THREADS + li] += left(own, n) * state[n];
            }
        }
    }
    workgroupBarrier();
}
