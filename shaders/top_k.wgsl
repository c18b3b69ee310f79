// Softmax and the k most probable classes of a row; one workgroup a row. Where a logit is not a number or infinite, the first
// probability is negative: compilers may take it that there are no such numbers, so comparisons and sums would not show them.
#import shared/index

struct Params {
    rows: u32,
    classes: u32,
    stride: u32,
    k: u32,
    sharpness: f32, // 1 / temperature
}

// logits: (B, N); best: (B, k): probability, class index, 0, 0
@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read_write> best: array<vec4f>;
@group(0) @binding(2) var<uniform> params: Params;

var<workgroup> scores: array<f32, 64>;
var<workgroup> indices: array<u32, 64>;

fn finite(v: f32) -> bool {
    return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u;
}

// True when class a with its logit comes before class b.
fn before(score_a: f32, a: u32, score_b: f32, b: u32) -> bool {
    return score_a > score_b || (score_a == score_b && a < b);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) wid: vec3u, @builtin(num_workgroups) nwg: vec3u, @builtin(local_invocation_index) li: u32) {
    let row = workgroup_index(wid, nwg);
    // Uniform over the workgroup.
    if (row >= params.rows) {
        return;
    }
    let base = row * params.stride;
    var last_score = 3.4e38;
    var last = 0u;
    var top = 0.0;
    var total = 0.0;
    for (var rank = 0u; rank < params.k; rank++) {
        // The best class after the one found last, in each thread and then over all.
        var score = -3.4e38;
        var index = 0xffffffffu;
        for (var c = li; c < params.classes; c += 64u) {
            let candidate = logits[base + c];
            let open = rank == 0u || before(last_score, last, candidate, c);
            if (open && finite(candidate) && before(candidate, c, score, index)) {
                score = candidate;
                index = c;
            }
        }
        workgroupBarrier();
        scores[li] = score;
        indices[li] = index;
        for (var half = 32u; half > 0u; half /= 2u) {
            workgroupBarrier();
            if (li < half && before(scores[li + half], indices[li + half], scores[li], indices[li])) {
                scores[li] = scores[li + half];
                indices[li] = indices[li + half];
            }
        }
        workgroupBarrier();
        last_score = scores[0];
        last = indices[0];
        if (rank == 0u) {
            top = last_score;
            var sum = 0.0;
            var broken = false;
            for (var c = li; c < params.classes; c += 64u) {
                let logit = logits[base + c];
                if (finite(logit)) {
                    sum += exp((logit - top) * params.sharpness);
                } else {
                    broken = true;
                }
            }
            workgroupBarrier();
            // More than all probabilities of all threads together.
            scores[li] = select(sum, -1e9, broken);
            for (var half = 32u; half > 0u; half /= 2u) {
                workgroupBarrier();
                if (li < half) {
                    scores[li] += scores[li + half];
                }
            }
            workgroupBarrier();
            total = scores[0];
        }
        if (li == 0u) {
            best[row * params.k + rank] = vec4f(exp((last_score - top) * params.sharpness) / total, f32(last), 0.0, 0.0);
        }
    }
}
