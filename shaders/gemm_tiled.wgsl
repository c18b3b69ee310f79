// Implicit GEMM for hardware: a workgroup of 16 x 16 threads computes 64 x 64, each thread 4 rows x 4 columns, over slices of
// 16 of the reduced axis that pass through workgroup memory.
#import shared/index
#import shared/gemm

const TILE = 64u;
const DEPTH4 = 4u; // vec4s of the reduced axis a slice

// a_tile: (16, 64) transposed so that a thread's four rows are one vec4; b_tile: (16, 64)
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
    let b_base = b_panel * depth4 * 8u + li % 2u;

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
        let b_k = k4 * 4u + b_depth;
        if (b_k < depth4 * 4u && b_panel < params.panels) {
            b = w[b_base + b_k * 2u];
        }
        workgroupBarrier();
        let slot = li / DEPTH4 / 4u;
        let lane = li / DEPTH4 % 4u;
        a_tile[(a_depth * 4u) * 16u + slot][lane] = a.x;
        a_tile[(a_depth * 4u + 1u) * 16u + slot][lane] = a.y;
        a_tile[(a_depth * 4u + 2u) * 16u + slot][lane] = a.z;
        a_tile[(a_depth * 4u + 3u) * 16u + slot][lane] = a.w;
        b_tile[b_depth * 16u + li % 16u] = b;
        workgroupBarrier();
        for (var k = 0u; k < DEPTH4 * 4u; k++) {
            let rows = a_tile[k * 16u + lid.y];
            let columns = b_tile[k * 16u + lid.x];
            acc[0] = fma(rows.xxxx, columns, acc[0]);
            acc[1] = fma(rows.yyyy, columns, acc[1]);
            acc[2] = fma(rows.zzzz, columns, acc[2]);
            acc[3] = fma(rows.wwww, columns, acc[3]);
        }
    }
    let column4 = first_panel * 2u + lid.x;
    for (var r = 0u; r < 4u; r++) {
        store(first_row + lid.y * 4u + r, column4, acc[r]);
    }
}
