// Implicit GEMM for hardware: a workgroup of 16 x 16 threads computes 64 x 64, each thread 4 rows x 4 columns, over slices of
// 16 of the reduced axis that pass through workgroup memory.
#import shared/index
#import shared/gemm

const TILE = 64u;
const DEPTH4 = 4u; // vec4s of the reduced axis a slice

// a_tile: (64, 16); b_tile: (16, 64). A thread stores one whole vec4 of each: a store to a component may touch all of its vector.
var<workgroup> a_tile: array<vec4f, 256>;
var<workgroup> b_tile: array<vec4f, 256>;

@compute @workgroup_size(16, 16)
fn main(
    @builtin(workgroup_id) wid: vec3u,
    @builtin(num_workgroups) nwg: vec3u,
    @builtin(local_invocation_id) lid: vec3u,
    @builtin(local_invocation_index) li: u32,
) {
    let columns_of_workgroups = (params.panels + 7u) / 8u;
    let index = workgroup_index(wid, nwg);
    let first_panel = index % columns_of_workgroups * 8u;
    let first_row = index / columns_of_workgroups * TILE;
    let depth4 = params.kernel_h * params.kernel_w * params.read_channels4;

    // What this thread fetches for a slice: one vec4 of a row of x, and four columns of one line of w.
    let a_row = first_row + li / DEPTH4;
    let a_depth = li % DEPTH4;
    let b_depth = li / 16u;
    let b_panel = first_panel + li % 16u / 2u;
    let b_base = b_panel * depth4 + b_depth / 4u;

    var acc: array<vec4f, 4>;
    for (var k4 = 0u; k4 < depth4; k4 += DEPTH4) {
        var a = vec4f(0.0);
        let a_k4 = k4 + a_depth;
        if (a_k4 < depth4) {
            let tap = a_k4 / params.read_channels4;
            let base = pixel_base(a_row, tap / params.kernel_w, tap % params.kernel_w);
            if (base != OUTSIDE) {
                a = x[base + a_k4 % params.read_channels4];
            }
        }
        var b = vec4f(0.0);
        if (k4 + b_depth / 4u < depth4 && b_panel < params.panels) {
            b = weight_line(b_base + k4, li % 2u, b_depth % 4u);
        }
        workgroupBarrier();
        a_tile[li] = a;
        b_tile[li] = b;
        workgroupBarrier();
        for (var d = 0u; d < DEPTH4; d++) {
            let lines = d * 64u + lid.x;
            let b4 = mat4x4f(b_tile[lines], b_tile[lines + 16u], b_tile[lines + 32u], b_tile[lines + 48u]);
            // Rows 16 apart, so that the threads of a subgroup read neighbouring banks.
            let rows = lid.y * DEPTH4 + d;
            acc[0] = multiply(acc[0], a_tile[rows], b4);
            acc[1] = multiply(acc[1], a_tile[rows + 16u * DEPTH4], b4);
            acc[2] = multiply(acc[2], a_tile[rows + 32u * DEPTH4], b4);
            acc[3] = multiply(acc[3], a_tile[rows + 48u * DEPTH4], b4);
        }
    }
    let column4 = first_panel * 2u + lid.x;
    for (var r = 0u; r < 4u; r++) {
        store(first_row + r * 16u + lid.y, column4, acc[r]);
    }
}
